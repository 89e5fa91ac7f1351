"""Outputs and the file server: what an answer holds, and what comes when it is fetched."""

from __future__ import annotations

import base64
import hashlib
import io
import zlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from generations.catalogue import extract_files
from simulator import Simulator
from simulator.scenario_table import CDN, OUTPUTS
from tests.simulator.customer import NANO, NO_TLS, TRIPO, VEO, Customer, get

DROPPED = httpx.RemoteProtocolError


def answer_of(customer: Customer, words: str, *, images: int = 2, seed: int | None = None, **details: Any) -> Any:
    request = customer.completed(words, inputs={"num_images": images, "seed": seed}, **details)
    return customer.result(request.request_id).json()


def test_a_file_has_the_bytes_that_the_log_says(fal: Simulator, customer: Customer) -> None:
    (found, *_) = extract_files(answer_of(customer, ""))

    reply = get(found.url)

    (file, _) = fal.log.files()
    assert hashlib.sha256(reply.content).hexdigest() == file.sha256 == fal.log.served()[0].sha256
    assert int(reply.headers["Content-Length"]) == file.size_bytes == len(reply.content)
    assert Image.open(io.BytesIO(reply.content)).size == (found.width, found.height)


def test_an_answer_names_the_seed_that_was_asked_for_or_one_of_its_own(customer: Customer) -> None:
    asked, *others = (answer_of(customer, "", **chosen)["seed"] for chosen in ({"seed": 0}, {}, {}))

    assert asked == 0
    assert len({asked, *others}) == 3


def test_tripos_meshes_are_nameless_octets(customer: Customer) -> None:
    answer = customer.result(customer.completed(endpoint=TRIPO).request_id).json()

    mesh = answer["model_mesh"]
    reply = get(mesh["url"])
    assert "file_name" not in mesh
    assert mesh["content_type"] == reply.headers["Content-Type"] == "application/octet-stream"
    assert reply.content.startswith(b"glTF")


def test_a_video_is_webm(customer: Customer) -> None:
    answer = customer.result(customer.completed(endpoint=VEO).request_id).json()

    assert answer["video"]["content_type"] == "video/webm"


def test_fal_leaves_out_names_and_sizes_now_and_then(customer: Customer) -> None:
    images = [image for _ in range(6) for image in answer_of(customer, "", images=4)["images"]]

    assert {None} < {image["file_name"] for image in images}
    assert {None} < {image["file_size"] for image in images}


def test_an_unsafe_picture_is_black_and_flagged(customer: Customer) -> None:
    answer = answer_of(customer, "[nsfw@1]")

    first, second = (Image.open(io.BytesIO(get(image["url"]).content)) for image in answer["images"])
    assert answer["has_nsfw_concepts"] == [False, True]
    assert (first.getextrema() == ((0, 0),) * 3, second.getextrema() == ((0, 0),) * 3) == (False, True)


def test_a_model_without_flags_refuses_instead(customer: Customer) -> None:
    assert customer.completed("[nsfw]", endpoint=NANO).error_type == "content_policy_violation"


CHANGED: dict[str, Callable[[Simulator, Any], bool]] = {
    "fewer": lambda fal, answer: len(answer["images"]) == 1,
    "more": lambda fal, answer: len(answer["images"]) == 3,
    "zero": lambda fal, answer: answer["images"] == [],
    "evil_output_url": lambda fal, answer: all(i["url"].startswith(fal.canary_url) for i in answer["images"]),
    "data_uri": lambda fal, answer: base64.b64decode(answer["images"][0]["url"].partition(",")[2])[:2] == b"\xff\xd8",
    "nested": lambda fal, answer: len(answer["results"][0]["images"]) == 2,
}


@pytest.mark.parametrize("choice", OUTPUTS)
def test_an_answer_can_hold_other_files_than_ordered(fal: Simulator, customer: Customer, choice: str) -> None:
    assert CHANGED[choice](fal, answer_of(customer, f"[outputs:{choice}]"))


@pytest.mark.parametrize("endpoint", [VEO, TRIPO])
@pytest.mark.parametrize("choice", OUTPUTS)
def test_other_models_change_their_files_too(fal: Simulator, customer: Customer, endpoint: str, choice: str) -> None:
    usual = customer.completed(endpoint=endpoint)
    fal.script(f"outputs:{choice}")

    changed = customer.completed(endpoint=endpoint)

    difference = len(fal.log.files(changed.request_id)) - len(fal.log.files(usual.request_id))
    assert difference == {"fewer": -1, "more": 1, "zero": -len(fal.log.files(usual.request_id))}.get(choice, 0)


def test_a_fault_can_be_meant_for_one_output(customer: Customer) -> None:
    answer = answer_of(customer, "[cdn:404@1]", images=3)

    assert [get(i["url"]).status_code for i in answer["images"]] == [200, 404, 200]


def test_a_fault_can_pass(customer: Customer) -> None:
    url = answer_of(customer, "[cdn:503x2]")["images"][0]["url"]

    assert [get(url).status_code for _ in range(3)] == [503, 503, 200]


FETCHED: dict[str, Callable[[Simulator, httpx.Response], bool]] = {
    **{code: lambda fal, reply, code=code: reply.status_code == int(code) for code in CDN if code.isdigit()},  # type: ignore[misc]
    "html": lambda fal, reply: reply.headers["Content-Type"] == "image/png" and b"<h1>" in reply.content,
    "wrong_type": lambda fal, reply: reply.headers["Content-Type"] == "text/html" and reply.content[:2] == b"\xff\xd8",
    "redirect": lambda fal, reply: reply.status_code == 302 and reply.headers["Location"].startswith(fal.canary_url),
    "cut_nolen": lambda fal, reply: len(reply.content) == fal.log.files()[0].size_bytes // 2,
    "expires": lambda fal, reply: reply.status_code == 404,
}


@pytest.mark.parametrize("choice", FETCHED)
def test_a_file_can_be_answered_wrongly(fal: Simulator, customer: Customer, choice: str) -> None:
    url = answer_of(customer, f"[cdn:{choice}]")["images"][0]["url"]
    # Five seconds of fal's are 25 ms here; only the expiry needs them.
    fal.wait_until(lambda: False, timeout=0.03)

    reply = get(url)

    assert FETCHED[choice](fal, reply)
    assert [served.fault for served in fal.log.served()] == [choice]


STREAMED: dict[str, Callable[[httpx.Response], bool]] = {
    "endless": lambda reply: sum(len(part) for part, _ in zip(reply.iter_raw(65536), range(80), strict=False)) > 5e6,
    "huge": lambda reply: reply.headers["Content-Length"] == "5000000000",
    "drip": lambda reply: next(reply.iter_raw()) == b"\xff",
    "bomb": lambda reply: (
        reply.headers["Content-Encoding"] == "gzip"
        and len(packed := b"".join(reply.iter_raw())) < 200_000
        and len(zlib.decompress(packed, wbits=31)) == 100 * 1024**2
    ),
}


@pytest.mark.parametrize("choice", STREAMED)
def test_a_file_can_be_too_much_for_its_reader(customer: Customer, choice: str) -> None:
    url = answer_of(customer, f"[cdn:{choice}]")["images"][0]["url"]

    with httpx.stream("GET", url, trust_env=False, verify=NO_TLS) as reply:
        assert STREAMED[choice](reply)


def test_a_file_can_be_cut_short(customer: Customer) -> None:
    url = answer_of(customer, "[cdn:truncated]")["images"][0]["url"]

    with pytest.raises(DROPPED, match="without sending complete"):
        get(url)


def test_every_fault_of_the_file_server_is_tested_here() -> None:
    assert set(FETCHED) | set(STREAMED) | {"truncated"} == set(CDN)


POLLS = {
    "404": [(404, "NOT_FOUND")] * 3,
    "500": [(500, None)] * 3,
    "unknown": [(202, "PONDERING")] * 3,
    "back_to_queue": [(202, "IN_PROGRESS"), (202, "IN_QUEUE"), (202, "IN_PROGRESS")],
}


@pytest.mark.parametrize("choice", POLLS)
def test_the_status_address_fails_in_each_of_its_ways(fal: Simulator, customer: Customer, choice: str) -> None:
    request_id = customer.order(f"[hold][poll:{choice}]")
    assert fal.wait_until(lambda: customer.state(request_id) == "IN_PROGRESS")

    replies = [customer.status(request_id) for _ in range(3)]

    assert [(reply.status_code, reply.json().get("status")) for reply in replies] == POLLS[choice]


RESULTS = {"404": [404, 404], "410": [410, 410], "504": [504, 200], "completed_with_error": [500, 500]}


@pytest.mark.parametrize("choice", RESULTS)
def test_the_result_address_fails_in_each_of_its_ways(customer: Customer, choice: str) -> None:
    request = customer.completed(f"[result:{choice}]", webhook="http://127.0.0.1:9/")

    replies = [customer.result(request.request_id) for _ in range(2)]

    status = customer.status(request.request_id).json()
    assert [reply.status_code for reply in replies] == RESULTS[choice]
    assert ("error" in status) == (choice == "completed_with_error")
