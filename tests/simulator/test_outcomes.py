"""The outcome of a job: the answer and files of each model, and what the scenarios change in them."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from generations.catalogue import MODELS
from simulator import Simulator
from simulator.scenario_table import OUTPUTS
from tests.simulator.queue_client import NANO_BANANA, TRIPO, VEO, QueueClient, get


def run_and_answer(client: QueueClient, scenarios: str = "", *, images: int = 2, seed: int | None = None) -> Any:
    request = client.run(scenarios, inputs={"num_images": images, "seed": seed})
    return client.result(request.request_id).json()


def test_every_model_of_the_catalogue_is_answered_with_its_files(queue_client: QueueClient) -> None:
    for model in MODELS.values():
        request = queue_client.run(endpoint=model.endpoint)

        roles = [file.role for file in queue_client.fal.log.files(request.request_id)]
        expected = [file.role for file in model.expected_files(model.read(request.inputs))]
        assert (request.error, roles) == (None, expected), model.endpoint


def test_the_same_inputs_give_other_files_for_each_request(fal: Simulator, queue_client: QueueClient) -> None:
    for _ in range(2):
        queue_client.run(inputs={"seed": 5})

    assert len({file.sha256 for file in fal.log.files()}) == 2


def test_an_answer_names_the_seed_of_the_inputs_or_a_new_one(queue_client: QueueClient) -> None:
    given, *chosen = (run_and_answer(queue_client, seed=seed)["seed"] for seed in (0, None, None))

    assert given == 0
    assert len({given, *chosen}) == 3


def test_meshes_of_tripo_are_octet_streams_without_a_name(queue_client: QueueClient) -> None:
    answer = queue_client.result(queue_client.run(endpoint=TRIPO).request_id).json()

    mesh = answer["model_mesh"]
    response = get(mesh["url"])
    assert "file_name" not in mesh
    assert mesh["content_type"] == response.headers["Content-Type"] == "application/octet-stream"
    assert response.content.startswith(b"glTF")


def test_videos_are_webm(queue_client: QueueClient) -> None:
    answer = queue_client.result(queue_client.run(endpoint=VEO).request_id).json()

    assert answer["video"]["content_type"] == "video/webm"


def test_some_file_names_and_sizes_are_missing(queue_client: QueueClient) -> None:
    images = [image for _ in range(6) for image in run_and_answer(queue_client, images=4)["images"]]

    assert {None} < {image["file_name"] for image in images}
    assert {None} < {image["file_size"] for image in images}


def test_an_unsafe_image_is_black_and_flagged(queue_client: QueueClient) -> None:
    answer = run_and_answer(queue_client, "[nsfw@1]")

    images = [Image.open(io.BytesIO(get(image["url"]).content)) for image in answer["images"]]
    assert answer["has_nsfw_concepts"] == [False, True]
    assert [image.getextrema() == ((0, 0),) * 3 for image in images] == [False, True]


def test_a_model_that_cannot_flag_images_refuses_unsafe_ones(queue_client: QueueClient) -> None:
    assert queue_client.run("[nsfw]", endpoint=NANO_BANANA).error_type == "content_policy_violation"


CHANGED_ANSWERS: dict[str, Callable[[Simulator, Any], bool]] = {
    "fewer": lambda fal, answer: len(answer["images"]) == 1,
    "more": lambda fal, answer: len(answer["images"]) == 3,
    "zero": lambda fal, answer: answer["images"] == [],
    "evil_output_url": lambda fal, answer: all(i["url"].startswith(fal.canary_url) for i in answer["images"]),
    "data_uri": lambda fal, answer: base64.b64decode(answer["images"][0]["url"].partition(",")[2])[:2] == b"\xff\xd8",
    "large": lambda fal, answer: fal.log.files()[-1].size_bytes > 12_000_000,
    "no_size": lambda fal, answer: [i["file_size"] for i in answer["images"]] == [None, None],
    "nested": lambda fal, answer: len(answer["results"][0]["images"]) == 2,
}


def test_each_outputs_scenario_changes_the_answer(fal: Simulator, queue_client: QueueClient) -> None:
    for choice in OUTPUTS:
        assert CHANGED_ANSWERS[choice](fal, run_and_answer(queue_client, f"[outputs:{choice}]")), choice


@pytest.mark.parametrize("endpoint", [VEO, TRIPO])
def test_outputs_scenarios_apply_to_models_of_every_kind(
    fal: Simulator, queue_client: QueueClient, endpoint: str
) -> None:
    count = len(fal.log.files(queue_client.run(endpoint=endpoint).request_id))

    for choice in OUTPUTS:
        fal.script(f"outputs:{choice}")
        request = queue_client.run(endpoint=endpoint)

        expected = {"fewer": count - 1, "more": count + 1, "zero": 0}.get(choice, count)
        assert len(fal.log.files(request.request_id)) == expected, choice
