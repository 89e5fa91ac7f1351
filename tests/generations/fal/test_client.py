"""Our client against the simulator over a socket: one POST per call, and no call longer than it may be."""

from __future__ import annotations

import time
from collections.abc import Iterator

import fal_client
import pytest

from generations.fal import AnswerLost, FalClient, Forbidden, Rejected, Unavailable
from simulator import Simulator

ENDPOINT = "fal-ai/flux/schnell"
ORDER = {"prompt": "a cat"}


@pytest.fixture
def client(fal: Simulator) -> Iterator[FalClient]:
    client = FalClient(key=fal.environment()["FAL_KEY"], queue_url=fal.url)
    yield client
    client.close()


def submit(client: FalClient, **changes: object) -> object:
    return client.submit(ENDPOINT, ORDER, webhook_url="http://127.0.0.1:9/hook?a=b&c=d", start_timeout_seconds=60)


def test_the_receipt_names_the_request_and_its_addresses(client: FalClient, fal: Simulator) -> None:
    ticket = submit(client)

    (request,) = fal.log.accepted()
    assert ticket == client.receipt_for(ENDPOINT, request.request_id)


def test_fal_is_told_where_to_call_back_and_when_to_give_up(client: FalClient, fal: Simulator) -> None:
    submit(client)

    (request,) = fal.log.accepted()
    assert (request.webhook_url, request.start_timeout_seconds) == ("http://127.0.0.1:9/hook?a=b&c=d", 60.0)


@pytest.mark.parametrize("fault", ["drop_after_accept", "reset", "status:429", "status:409", "status:502"])
def test_fal_clients_own_retries_never_happen(fault: str, client: FalClient, fal: Simulator) -> None:
    fal.always(fault)

    with pytest.raises((AnswerLost, Unavailable)):
        submit(client)

    assert len(fal.log.posts()) == 1


def test_without_our_transport_the_same_fault_is_several_paid_jobs(
    fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: fal_client as it is repeats a POST that fal has accepted."""
    monkeypatch.setattr(fal_client.client, "QUEUE_URL_FORMAT", f"{fal.url}/")
    monkeypatch.setattr(fal_client.client, "MAX_ATTEMPTS", 3)
    fal.always("drop_after_accept")
    naive = fal_client.SyncClient(key=fal.environment()["FAL_KEY"])

    with pytest.raises(Exception, match="disconnected"):
        naive.submit(ENDPOINT, ORDER)
    naive._client.close()

    assert len(fal.log.accepted()) == 3


@pytest.mark.parametrize("fault", ["hang_after_accept", "drip", "slow_accept:600"])
def test_a_server_that_keeps_us_waiting_is_left_in_time(fault: str, fal: Simulator) -> None:
    client = FalClient(key=fal.environment()["FAL_KEY"], queue_url=fal.url, submit_seconds_max=0.5)
    fal.script(fault)
    begun = time.monotonic()

    with pytest.raises(AnswerLost):
        submit(client)

    assert time.monotonic() - begun < 3
    client.close()


def test_a_model_that_fal_does_not_have_is_rejected(client: FalClient) -> None:
    with pytest.raises(Rejected):
        client.submit("fal-ai/no-such-model", ORDER, webhook_url="http://127.0.0.1:9/", start_timeout_seconds=60)


@pytest.mark.parametrize("key", ["", " ", "key\n", "key with space", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_before_anything_is_sent(key: str, fal: Simulator) -> None:
    client = FalClient(key=key, queue_url=fal.url)

    with pytest.raises(Forbidden):
        submit(client)
    with pytest.raises(Forbidden):
        client.status(f"{fal.url}/x/status")

    assert fal.log.posts() == []


def test_the_key_is_not_in_the_clients_repr(client: FalClient) -> None:
    assert client.key not in repr(client)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:{port}/x",
        "https://127.0.0.1:{port}/x",
        "http://user@127.0.0.1:{port}/x",
        "http://127.0.0.1:{port}@evil.example/x",
        "http://127.0.0.1\\@evil.example:{port}/x",
        "http://127.0.0.1:99999/x",
        "http://[::1/x",
        "//127.0.0.1:{port}/x",
        "",
    ],
)
def test_our_key_goes_to_no_address_but_fals(url: str, client: FalClient, fal: Simulator) -> None:
    address = url.format(port=fal.url.rpartition(":")[2])

    with pytest.raises(Forbidden):
        client.status(address)
    with pytest.raises(Forbidden):
        client.cancel(address)


def test_fals_backup_host_is_fals_own() -> None:
    client = FalClient(key="k")

    assert client._is_fals_own("https://queue.falrun.com/fal-ai/flux/requests/1/status")
    assert not client._is_fals_own("https://queue.falrun.com.evil.example/x")
    assert not FalClient(key="k", queue_url="http://127.0.0.1:1")._is_fals_own("https://queue.falrun.com/x")


@pytest.mark.parametrize(
    "endpoint, app",
    [
        ("fal-ai/flux/dev", "fal-ai/flux"),
        ("workflows/me/flow/x", "workflows/me/flow"),
        ("openai/gpt-image-2", "openai/gpt-image-2"),
    ],
)
def test_addresses_know_owner_and_app_only(endpoint: str, app: str) -> None:
    ticket = FalClient(key="k").receipt_for(endpoint, "r/../x")

    assert ticket.response_url == f"https://queue.fal.run/{app}/requests/r%2F..%2Fx"


def test_an_unreachable_fal_is_unavailable() -> None:
    client = FalClient(key="k", queue_url="http://127.0.0.1:9")

    with pytest.raises(Unavailable):
        submit(client)
    with pytest.raises(Unavailable):
        client.status("http://127.0.0.1:9/x/status")
