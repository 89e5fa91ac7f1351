"""fal's official client, fal-client 1.0.3, works with the simulator as it does with fal."""

from __future__ import annotations

from collections.abc import Iterator

import fal_client
import pytest
from fal_client.client import FalClientHTTPError, SyncClient

from generations.catalogue import extract_files
from simulator import Simulator
from tests.simulator.queue_client import FLUX, SMALL, CallbackReceiver

INPUTS = {"prompt": "a fox", **SMALL}


@pytest.fixture
def sync_client(fal: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncClient]:
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{fal.url}/")
    client = SyncClient(key=fal.environment()["FAL_KEY"])
    yield client
    client._client.close()


def test_it_submits_waits_and_fetches(sync_client: SyncClient) -> None:
    handle = sync_client.submit(FLUX, INPUTS)

    assert len(extract_files(handle.get())) == 1


def test_it_reads_every_status(fal: Simulator, sync_client: SyncClient) -> None:
    handle = sync_client.submit(FLUX, {"prompt": "[queue:999999]", **SMALL})
    held = sync_client.submit(FLUX, {"prompt": "[hold]", **SMALL})
    assert fal.wait_until(lambda: fal.log.accepted()[1].state == "IN_PROGRESS")

    assert isinstance(handle.status(), fal_client.Queued)
    assert isinstance(held.status(with_logs=True), fal_client.InProgress)
    fal.finish(held.request_id)
    assert isinstance(held.status(), fal_client.Completed)


def test_it_builds_the_urls_that_the_simulator_returns(sync_client: SyncClient) -> None:
    request_id = sync_client.submit(FLUX, INPUTS).request_id

    assert sync_client.result(FLUX, request_id)["prompt"] == "a fox"


def test_it_sees_a_failure_in_status_and_result(sync_client: SyncClient) -> None:
    handle = sync_client.submit(FLUX, {"prompt": "[fail:content_policy_violation]"})

    with pytest.raises(FalClientHTTPError) as failure:
        handle.get()

    status = handle.status()
    assert isinstance(status, fal_client.Completed)
    assert (failure.value.status_code, failure.value.error_type) == (422, "content_policy_violation")
    assert status.error_type == "content_policy_violation"


def test_it_cancels(fal: Simulator, sync_client: SyncClient) -> None:
    handle = sync_client.submit(FLUX, {"prompt": "[hold]"})

    handle.cancel()

    assert fal.wait_until(lambda: fal.log.accepted()[0].cancelled)


def test_it_passes_the_webhook_url(fal: Simulator, sync_client: SyncClient, receiver: CallbackReceiver) -> None:
    sync_client.submit(FLUX, INPUTS, webhook_url=receiver.url)

    assert fal.wait_until(lambda: receiver.callbacks and fal.log.callbacks())
    assert receiver.callbacks[0].path == "/hooks/fal?token=abc"


@pytest.mark.parametrize("scenario, accepted", [("drop_after_accept", 2), ("drop_before_accept", 1), ("status:502", 1)])
def test_it_repeats_a_submission_without_a_response(
    fal: Simulator, sync_client: SyncClient, scenario: str, accepted: int
) -> None:
    fal.script(scenario, times=1)

    sync_client.submit(FLUX, INPUTS)

    assert (len(fal.log.posts()), len(fal.log.accepted())) == (2, accepted)
