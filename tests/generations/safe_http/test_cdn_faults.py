"""The fetcher at the simulator's file server, with each of its faults."""

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
# These look well from outside; sizes and inspection find them out.
ARRIVES = {"cut_nolen", "html", "wrong_type"}
# After a while it is a 404.
IN_TIME = {"expires"}


def _answered(fal: Simulator) -> FoundFile:
    """One picture, ordered and drawn."""
    with requests.Session() as http:
        http.trust_env = False
        http.headers["Authorization"] = f"Key {fal.environment()['FAL_KEY']}"
        order = http.post(
            f"{fal.url}/fal-ai/flux/schnell", json={"prompt": "a fox", **SMALL}, timeout=HANG_SECONDS
        ).json()
        assert fal.wait_until(lambda: fal.log.accepted()[0].state == "COMPLETED")
        return extract_files(http.get(order["response_url"], timeout=HANG_SECONDS).json())[0]


def _fetch(fal: Simulator, file: FoundFile, *, seconds_max: float = HANG_SECONDS) -> Fetched:
    hosts = [fal.environment()["FAL_MEDIA_HOSTS"]]
    return http_client.fetch(file.url, io.BytesIO(), hosts=hosts, bytes_max=BYTES_MAX, seconds_max=seconds_max)


def test_every_fault_is_met() -> None:
    assert set(CDN) == set(REFUSED) | ARRIVES | IN_TIME


def test_a_picture_comes_as_it_was_announced(fal: Simulator) -> None:
    file = _answered(fal)

    fetched = _fetch(fal, file)

    assert fetched.size_bytes == (file.claimed_size_bytes or fetched.size_bytes)
    assert fetched.sha256 == fal.log.files()[0].sha256


@pytest.mark.parametrize("fault, error", REFUSED.items())
def test_a_fault_is_told_apart(fal: Simulator, fault: str, error: type[FetchError]) -> None:
    fal.script(f"cdn:{fault}")

    with pytest.raises(error):
        # A file that comes drop by drop is read until the time is over; all others are not waited for.
        _fetch(fal, _answered(fal), seconds_max=1 if fault == "drip" else HANG_SECONDS)

    assert not fal.log.visits()


@pytest.mark.parametrize("fault", sorted(ARRIVES))
def test_a_fault_that_looks_well_arrives(fal: Simulator, fault: str) -> None:
    fal.script(f"cdn:{fault}")

    fetched = _fetch(fal, _answered(fal))

    assert (fetched.sha256 == fal.log.files()[0].sha256) is (fault == "wrong_type")


def test_a_file_on_another_host_is_refused(fal: Simulator) -> None:
    """C15."""
    fal.script("outputs:evil_output_url")

    with pytest.raises(AddressRefused, match="files may not come from"):
        _fetch(fal, _answered(fal))

    assert not fal.log.visits()
