"""The client against the simulator over a socket: one POST per submission, and a limit to the time of every call."""

from __future__ import annotations

from collections.abc import Iterator

import fal_client
import pytest

from generations.fal import AnswerLost, FalClient, Forbidden, ProviderReceipt, Rejected, Unavailable
from simulator import Simulator

pytestmark = pytest.mark.once
ENDPOINT = "fal-ai/flux/schnell"
INPUTS = {"prompt": "a cat"}


@pytest.fixture
def client(fal: Simulator) -> Iterator[FalClient]:
    client = FalClient(key=fal.environment()["FAL_KEY"], queue_url=fal.url)
    yield client
    client.close()


def submit(client: FalClient) -> ProviderReceipt:
    return client.submit(ENDPOINT, INPUTS, webhook_url="http://127.0.0.1:9/hook?a=b&c=d", start_timeout_seconds=60)


# --- Receipts ---


def test_a_submission_returns_the_receipt(client: FalClient, fal: Simulator) -> None:
    receipt = submit(client)

    (request,) = fal.log.accepted()
    assert receipt == client.receipt_for(ENDPOINT, request.request_id)
    assert (request.webhook_url, request.start_timeout_seconds) == ("http://127.0.0.1:9/hook?a=b&c=d", 60.0)


def test_the_urls_of_a_receipt_have_owner_and_app_only() -> None:
    apps = {
        "fal-ai/flux/dev": "fal-ai/flux",
        "workflows/me/flow/x": "workflows/me/flow",
        "openai/gpt-image-2": "openai/gpt-image-2",
    }

    for endpoint, app in apps.items():
        receipt = FalClient(key="k").receipt_for(endpoint, "r/../x")
        assert receipt.response_url == f"https://queue.fal.run/{app}/requests/r%2F..%2Fx"


# --- One POST ---


@pytest.mark.parametrize("fault", ["drop_after_accept", "reset", "status:429", "status:409", "status:502"])
def test_fal_client_does_not_repeat_a_post(fault: str, client: FalClient, fal: Simulator) -> None:
    fal.always(fault)

    with pytest.raises((AnswerLost, Unavailable)):
        submit(client)

    assert len(fal.log.posts()) == 1


def test_without_the_transport_fal_client_repeats_a_post_that_fal_accepted(
    fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{fal.url}/")
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 3)
    fal.always("drop_after_accept")
    unprotected = fal_client.SyncClient(key=fal.environment()["FAL_KEY"])

    with pytest.raises(Exception, match="disconnected"):
        unprotected.submit(ENDPOINT, INPUTS)
    unprotected._client.close()

    assert len(fal.log.accepted()) == 3


@pytest.mark.parametrize("fault", ["hang_after_accept", "drip", "slow_accept:600"])
def test_a_submission_without_an_answer_is_abandoned(fault: str, fal: Simulator) -> None:
    client = FalClient(key=fal.environment()["FAL_KEY"], queue_url=fal.url, submit_seconds_max=0.5)
    fal.script(fault)

    with pytest.raises(AnswerLost, match=r"no response within 0\.5 s"):
        submit(client)

    client.close()


def test_an_unknown_endpoint_is_rejected(client: FalClient) -> None:
    with pytest.raises(Rejected):
        client.submit("fal-ai/no-such-model", INPUTS, webhook_url="http://127.0.0.1:9/", start_timeout_seconds=60)


def test_an_unreachable_fal_is_unavailable() -> None:
    client = FalClient(key="k", queue_url="http://127.0.0.1:9")

    with pytest.raises(Unavailable):
        submit(client)
    with pytest.raises(Unavailable):
        client.status("http://127.0.0.1:9/x/status")


# --- The key ---


def test_a_malformed_key_is_refused_before_anything_is_sent(fal: Simulator) -> None:
    for key in ("", " ", "key\n", "key with space", "schlüssel"):
        client = FalClient(key=key, queue_url=fal.url)

        with pytest.raises(Forbidden):
            submit(client)
        with pytest.raises(Forbidden):
            client.status(f"{fal.url}/x/status")

    assert fal.log.posts() == []


def test_the_key_is_not_in_the_repr(client: FalClient) -> None:
    assert client.key not in repr(client)


def test_the_key_is_sent_to_fals_hosts_only(client: FalClient, fal: Simulator) -> None:
    port = fal.url.rpartition(":")[2]
    foreign = [
        f"http://localhost:{port}/x",
        f"https://127.0.0.1:{port}/x",
        f"http://user@127.0.0.1:{port}/x",
        f"http://127.0.0.1:{port}@evil.example/x",
        f"http://127.0.0.1\\@evil.example:{port}/x",
        "http://127.0.0.1:99999/x",
        "http://[::1/x",
        f"//127.0.0.1:{port}/x",
        "",
    ]

    for url in foreign:
        with pytest.raises(Forbidden):
            client.status(url)
        with pytest.raises(Forbidden):
            client.cancel(url)


def test_the_backup_host_is_fals_own() -> None:
    client = FalClient(key="k")

    assert client._is_fals_own("https://queue.falrun.com/fal-ai/flux/requests/1/status")
    assert not client._is_fals_own("https://queue.falrun.com.evil.example/x")
    assert not FalClient(key="k", queue_url="http://127.0.0.1:1")._is_fals_own("https://queue.falrun.com/x")
