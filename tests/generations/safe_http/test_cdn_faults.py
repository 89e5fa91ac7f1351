"""The client fetches from the simulator's file server while that injects each of its faults."""

from __future__ import annotations

import io

import pytest
import requests

from generations.catalogue import FoundFile, extract_files
from generations.safe_http import client as http_client
from generations.safe_http.client import AddressRefused, Fetched, FetchError, Missing, TooLarge, TryLater
from simulator import Simulator
from simulator.scenario_table import CDN
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.once

BYTES_MAX = 5_000_000
SMALL = {"image_size": {"width": 256, "height": 256}}

REFUSED: dict[str, type[FetchError]] = {
    **dict.fromkeys(["403", "404", "410"], Missing),
    **dict.fromkeys(["429", "500", "503", "truncated", "drip", "bomb"], TryLater),
    **dict.fromkeys(["endless", "huge"], TooLarge),
    "redirect": AddressRefused,
}
# The transfer succeeds. The copier notices these by the size and by inspecting the file.
ARRIVES = {"cut_nolen", "cut_untold", "nolen", "untold", "html", "wrong_type"}
CORRECT = {"nolen", "untold", "wrong_type"}
# A 404 after a while, so it is covered by the others.
IN_TIME = {"expires"}


def generate(fal: Simulator) -> FoundFile:
    """Order an image from the simulator, and return its file."""
    with requests.Session() as http:
        http.trust_env = False
        http.headers["Authorization"] = f"Key {fal.environment()['FAL_KEY']}"
        order = http.post(
            f"{fal.url}/fal-ai/flux/schnell", json={"prompt": "a fox", **SMALL}, timeout=HANG_SECONDS
        ).json()
        assert fal.wait_until(lambda: fal.log.accepted()[0].state == "COMPLETED")
        return extract_files(http.get(order["response_url"], timeout=HANG_SECONDS).json())[0]


def fetch(fal: Simulator, file: FoundFile, *, seconds_max: float = HANG_SECONDS) -> Fetched:
    hosts = [fal.environment()["FAL_MEDIA_HOSTS"]]
    return http_client.fetch(file.url, io.BytesIO(), hosts=hosts, bytes_max=BYTES_MAX, seconds_max=seconds_max)


def test_every_fault_of_the_simulator_is_covered() -> None:
    assert set(CDN) == set(REFUSED) | ARRIVES | IN_TIME


def test_a_file_arrives_as_it_was_announced(fal: Simulator) -> None:
    file = generate(fal)

    fetched = fetch(fal, file)

    assert fetched.size_bytes == (file.claimed_size_bytes or fetched.size_bytes)
    assert fetched.sha256 == fal.log.files()[0].sha256


@pytest.mark.parametrize("fault, error", REFUSED.items())
def test_a_fault_raises_its_error(fal: Simulator, fault: str, error: type[FetchError]) -> None:
    fal.script(f"cdn:{fault}")

    with pytest.raises(error):
        # A drip would last for minutes: only the deadline ends it.
        fetch(fal, generate(fal), seconds_max=1.0 if fault == "drip" else HANG_SECONDS)

    assert not fal.log.visits()


@pytest.mark.parametrize("fault", sorted(ARRIVES))
def test_a_fault_of_the_content_arrives(fal: Simulator, fault: str) -> None:
    fal.script(f"cdn:{fault}")

    fetched = fetch(fal, generate(fal))

    assert (fetched.sha256 == fal.log.files()[0].sha256) is (fault in CORRECT)
    assert fetched.end_is_marked is (fault in {"html", "wrong_type"})


def test_c15_a_file_on_another_host_is_refused(fal: Simulator) -> None:
    fal.script("outputs:evil_output_url")

    with pytest.raises(AddressRefused, match="files may not come from"):
        fetch(fal, generate(fal))

    assert not fal.log.visits()
