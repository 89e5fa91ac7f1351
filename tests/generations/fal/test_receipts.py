"""The URLs of a receipt are used only if they are those of its own job. Everything else is replaced."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from generations.fal import FalClient, ProviderReceipt

pytestmark = [pytest.mark.once, pytest.mark.unit]

ENDPOINT = "fal-ai/flux/schnell"
QUEUE = "https://queue.fal.run"
OWN = f"{QUEUE}/fal-ai/flux/requests/r-1"
FAL = FalClient(key="k")


def receipt_at(job: str, *, request_id: str = "r-1", result: str = "") -> ProviderReceipt:
    """A receipt with the URLs of this job."""
    return ProviderReceipt(
        request_id=request_id, status_url=f"{job}/status", response_url=f"{job}{result}", cancel_url=f"{job}/cancel"
    )


# --- Receipts that fal may write ---

REAL = {
    "owner and app": (ENDPOINT, OWN, ""),
    "with the sub-path": (ENDPOINT, f"{QUEUE}/fal-ai/flux/schnell/requests/r-1", ""),
    "as in the older example": (ENDPOINT, f"{QUEUE}/fal-ai/flux/schnell/requests/r-1", "/response"),
    "the backup host": (ENDPOINT, "https://queue.falrun.com/fal-ai/flux/requests/r-1", ""),
    "without a sub-path": ("openai/gpt-image-2", f"{QUEUE}/openai/gpt-image-2/requests/r-1", ""),
    "a long sub-path": ("fal-ai/kling/v2/pro/text", f"{QUEUE}/fal-ai/kling/requests/r-1", ""),
    "a workflow": ("workflows/me/flow", f"{QUEUE}/workflows/me/flow/requests/r-1", ""),
    "a step of a workflow": ("workflows/me/flow/x", f"{QUEUE}/workflows/me/flow/requests/r-1", ""),
    "comfy": ("comfy/me/graph/run", f"{QUEUE}/comfy/me/graph/requests/r-1", ""),
}


@pytest.mark.parametrize("endpoint, job, result", REAL.values(), ids=REAL)
def test_the_urls_of_the_own_job_are_kept(
    endpoint: str, job: str, result: str, caplog: pytest.LogCaptureFixture
) -> None:
    receipt = receipt_at(job, result=result)

    assert FAL.checked_receipt(endpoint, receipt) == receipt
    assert caplog.records == []


def test_a_colon_in_the_request_id_may_be_encoded_or_not() -> None:
    for written in ("a:1", "a%3A1"):
        receipt = receipt_at(f"{QUEUE}/fal-ai/flux/requests/{written}", request_id="a:1")

        assert FAL.checked_receipt(ENDPOINT, receipt) == receipt


def test_the_urls_that_limn_builds_are_those_of_the_job() -> None:
    for endpoint, *_ in REAL.values():
        receipt = FAL.receipt_for(endpoint, "r-1")

        assert FAL.checked_receipt(endpoint, receipt) is receipt


def test_the_simulators_address_is_fals_only_where_it_is_configured() -> None:
    local = "http://127.0.0.1:1"
    receipt = receipt_at(f"{local}/fal-ai/flux/requests/r-1")

    assert FalClient(key="k", queue_url=local).checked_receipt(ENDPOINT, receipt) == receipt
    assert FAL.checked_receipt(ENDPOINT, receipt) == FAL.receipt_for(ENDPOINT, "r-1")


# --- Receipts that name something else ---

HOSTILE = {
    "another id": f"{QUEUE}/fal-ai/flux/requests/r-2",
    "a longer id": f"{QUEUE}/fal-ai/flux/requests/r-11",
    "another app": f"{QUEUE}/fal-ai/sora/requests/r-1",
    "another owner": f"{QUEUE}/openai/flux/requests/r-1",
    "another sub-path": f"{QUEUE}/fal-ai/flux/dev/requests/r-1",
    "no app": f"{QUEUE}/fal-ai/requests/r-1",
    "a namespace before it": f"{QUEUE}/workflows/fal-ai/flux/requests/r-1",
    "a parent folder": f"{QUEUE}/fal-ai/flux/requests/r-1/../r-2",
    "two parent folders": f"{QUEUE}/fal-ai/sora/../flux/requests/r-1",
    "an encoded parent folder": f"{QUEUE}/fal-ai/flux/requests/r-1/%2e%2e/r-2",
    "an encoded slash": f"{QUEUE}/fal-ai/flux/requests/r-1%2f..%2fr-2",
    "an encoded letter": f"{QUEUE}/fal-ai/flux/requests/%72-1",
    "the same folder": f"{QUEUE}/fal-ai/./flux/requests/r-1",
    "two slashes": f"{QUEUE}/fal-ai/flux//requests/r-1",
    "two slashes first": f"{QUEUE}//fal-ai/flux/requests/r-1",
    "a parameter": f"{QUEUE}/fal-ai/flux/requests/r-1;r-2",
    "a backslash": f"{QUEUE}/fal-ai/flux/requests/r-2\\..\\r-1",
    "upper case": f"{QUEUE}/fal-ai/FLUX/requests/R-1",
    "an upper-case host": "https://QUEUE.fal.run/fal-ai/flux/requests/r-1",
    "a slash at the end": f"{OWN}/",
    "a query": f"{OWN}?request_id=r-2",
    "a fragment": f"{OWN}#r-2",
    "two ids": f"{OWN}/requests/r-2",
    "two ids, own last": f"{QUEUE}/fal-ai/flux/requests/r-2/requests/r-1",
    "no id": f"{QUEUE}/fal-ai/flux/requests/",
    "a user name": "https://fal.ai@queue.fal.run/fal-ai/flux/requests/r-1",
    "a port": "https://queue.fal.run:443/fal-ai/flux/requests/r-1",
    "another port": "https://queue.fal.run:8443/fal-ai/flux/requests/r-1",
    "another scheme": "http://queue.fal.run/fal-ai/flux/requests/r-1",
    "another host": "https://queue.fal.run.evil.example/fal-ai/flux/requests/r-1",
    "white space": f"{OWN} ",
    "a line break": f"{OWN}\n",
    "no host": "/fal-ai/flux/requests/r-1",
    "nothing": "",
}


@pytest.mark.parametrize("job", HOSTILE.values(), ids=HOSTILE)
def test_the_urls_of_anything_else_are_replaced(job: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each of the three alone is reason enough to replace all of them."""
    own, other = receipt_at(OWN), receipt_at(job)

    for receipt in (
        other,
        replace(own, status_url=other.status_url),
        replace(own, response_url=other.response_url),
        replace(own, cancel_url=other.cancel_url),
    ):
        caplog.clear()
        assert FAL.checked_receipt(ENDPOINT, receipt) == own
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_url_of_another_kind_is_replaced() -> None:
    own = receipt_at(OWN)

    for swapped in (
        replace(own, status_url=own.cancel_url),
        replace(own, cancel_url=own.status_url),
        replace(own, response_url=own.status_url),
        replace(own, status_url=f"{OWN}/status/stream"),
        replace(own, cancel_url=OWN),
        replace(own, status_url={"url": own.status_url}),  # type: ignore[arg-type]
        replace(own, response_url=None),  # type: ignore[arg-type]
    ):
        assert FAL.checked_receipt(ENDPOINT, swapped) == own
