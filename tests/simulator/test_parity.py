"""fal's own client, version 1.0.3, works with the simulator as it does with fal."""

from __future__ import annotations

from collections.abc import Iterator

import fal_client
import pytest
from fal_client.client import FalClientHTTPError, SyncClient

from generations.catalogue import extract_files
from simulator import Simulator
from tests.simulator.customer import FLUX, SMALL, Receiver

ORDER = {"prompt": "a fox", **SMALL}


@pytest.fixture
def client(fal: Simulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncClient]:
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{fal.url}/")
    client = SyncClient(key=fal.environment()["FAL_KEY"])
    yield client
    client._client.close()


def test_fals_client_submits_waits_and_fetches(client: SyncClient) -> None:
    handle = client.submit(FLUX, ORDER)

    assert len(extract_files(handle.get())) == 1


def test_fals_client_reads_every_status(fal: Simulator, client: SyncClient) -> None:
    handle = client.submit(FLUX, {"prompt": "[queue:20][hold]", **SMALL})
    queued = handle.status()
    assert fal.wait_until(lambda: fal.log.accepted()[0].state == "IN_PROGRESS")
    running = handle.status(with_logs=True)
    fal.finish(handle.request_id)

    assert isinstance(queued, fal_client.Queued)
    assert isinstance(running, fal_client.InProgress)
    assert isinstance(handle.status(), fal_client.Completed)


def test_fals_client_rebuilds_the_addresses_that_we_give(client: SyncClient) -> None:
    request_id = client.submit(FLUX, ORDER).request_id

    assert client.result(FLUX, request_id)["prompt"] == "a fox"


def test_fals_client_sees_a_failure_in_status_and_result(client: SyncClient) -> None:
    handle = client.submit(FLUX, {"prompt": "[fail:content_policy_violation]"})

    with pytest.raises(FalClientHTTPError) as failure:
        handle.get()

    status = handle.status()
    assert isinstance(status, fal_client.Completed)
    assert (failure.value.status_code, failure.value.error_type) == (422, "content_policy_violation")
    assert status.error_type == "content_policy_violation"


def test_fals_client_cancels(fal: Simulator, client: SyncClient) -> None:
    handle = client.submit(FLUX, {"prompt": "[hold]"})

    handle.cancel()

    assert fal.wait_until(lambda: fal.log.accepted()[0].cancelled)


def test_fals_client_names_the_webhook(fal: Simulator, client: SyncClient, inbox: Receiver) -> None:
    client.submit(FLUX, ORDER, webhook_url=inbox.url)

    assert fal.wait_until(lambda: inbox.letters and fal.log.callbacks())
    assert inbox.letters[0].path == "/hooks/fal?token=abc"


@pytest.mark.parametrize("word, accepted", [("drop_after_accept", 2), ("drop_before_accept", 1), ("status:502", 1)])
def test_fals_client_posts_again_what_was_lost(fal: Simulator, client: SyncClient, word: str, accepted: int) -> None:
    fal.script(word, times=1)

    client.submit(FLUX, ORDER)

    assert (len(fal.log.posts()), len(fal.log.accepted())) == (2, accepted)
