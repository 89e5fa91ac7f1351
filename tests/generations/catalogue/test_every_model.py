"""Every model, ordered through the API and made by the simulator: the right files are stored for the right price."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from credits import ledger
from credits.models import Account
from generations.catalogue import MODELS, Model, find
from generations.files import inspection, storage
from generations.models import Generation, Output, Status
from generations.provider import clients
from simulator import Simulator
from simulator.media import drawn_type
from tests.fixtures.api import GENERATIONS
from tests.generations.catalogue.example_orders import IMAGE, minimal_inputs
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
# Inputs whose default would take the simulator long to draw.
SMALLER: dict[str, Any] = {"stable-audio-2.5": {"seconds_total": 3}}


@pytest.fixture(autouse=True)
def credits_for_a_long_video(alice: User) -> None:
    ledger.grant(Account.objects.for_user(alice), 10_000, key="for a long video", actor="test")


def with_existing_image(fal: Simulator, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs with an image that exists: Limn inspects images before it takes an order."""
    if IMAGE not in (written := json.dumps(inputs)):
        return inputs
    image = {"prompt": "a fox", "image_size": "square"}
    clients.fal().submit("fal-ai/flux/schnell", image, webhook_url="", start_timeout_seconds=60)
    assert fal.wait_until(fal.log.files)
    changed: dict[str, Any] = json.loads(written.replace(IMAGE, f"{fal.url}{fal.log.files()[0].path}"))
    return changed


def completed(api: APIClient, work: Work, **order: Any) -> Generation:
    placed = api.post(GENERATIONS, order)
    assert placed.status_code == 202, placed.data
    generation = work.until_done(Generation.objects.get(pk=placed.data["id"]))
    assert generation.status == Status.COMPLETED, generation.failure_message
    return generation


def stored_types(generation: Generation) -> dict[str, str]:
    """JSON path → media type of each stored file, found from its bytes."""
    found = {}
    for output in generation.outputs.filter(state=Output.State.STORED):
        with storage.open_file(output.key) as file:
            found[output.role] = inspection.inspect(file, output.size_bytes or 0).content_type
        assert found[output.role] == output.content_type
    return found


def expected_types(model: Model, inputs: dict[str, Any], preset: str | None = None) -> dict[str, str]:
    files = model.expected_files(model.read(inputs, preset=preset))
    return {file.role: drawn_type(file.media_type) for file in files}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_an_order_ends_with_its_files_in_storage(model: Model, fal: Simulator, api: APIClient, work: Work) -> None:
    inputs = with_existing_image(fal, minimal_inputs(model) | SMALLER.get(model.slug, {}))

    generation = completed(api, work, model=model.slug, input=inputs)

    assert stored_types(generation) == expected_types(model, inputs)
    assert generation.captured == generation.credits == model.credits(model.read(inputs)) > 0


def test_a_preset_reaches_fal(fal: Simulator, api: APIClient, work: Work) -> None:
    model, inputs = find("tripo-h3.1"), with_existing_image(fal, {"image_url": IMAGE})

    for preset in ("draft", "standard", "high"):
        generation = completed(api, work, model=model.slug, input=inputs, preset=preset)

        assert fal.log.accepted(model.endpoint)[-1].inputs.items() >= dict(model.presets[preset]).items()
        assert stored_types(generation) == expected_types(model, inputs, preset)


def test_audio_can_be_played_on_its_page(
    fal: Simulator, api: APIClient, work: Work, client: Client, alice: User
) -> None:
    generation = completed(api, work, model="eleven-v3", input={"text": "Hello, fox."})
    client.force_login(alice)

    page = client.get(f"/generations/{generation.pk}/").text

    assert f'<audio src="/api/v1/outputs/{generation.outputs.get().pk}/content/" controls' in page
    assert "Hello, fox." in page


def test_a_preset_fills_in_the_form_and_shows_its_price(client: Client, alice: User) -> None:
    client.force_login(alice)

    for model in (model for model in MODELS.values() if model.kind == "3d"):
        for preset, inputs in model.presets.items():
            page = client.post(f"/new/{model.slug}/", {"preset": preset, "image_url": IMAGE})

            form = page.context["form"]
            assert (page.status_code, form.preset) == (200, preset)
            assert form.values.items() >= dict(inputs).items()
            assert page.context["credits"] == model.credits(model.read({"image_url": IMAGE}, preset=preset))


def test_every_mesh_of_quads_is_an_fbx_file(fal: Simulator, api: APIClient, work: Work) -> None:
    inputs = with_existing_image(fal, {"image_url": IMAGE, "quad": True})

    found = stored_types(completed(api, work, model="tripo-h3.1", input=inputs))

    meshes = {role for role, media_type in found.items() if media_type == "application/octet-stream"}
    assert meshes == {"model_mesh", "model_urls.fbx", "model_urls.base_model", "model_urls.pbr_model"}
    assert found["rendered_image"] == "image/webp"
