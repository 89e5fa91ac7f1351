"""fal's Platform API: prices and bills are exact, and a response of another form than documented is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from generations.fal import FalClient, Forbidden, Unavailable, platform
from generations.fal.errors import Gone
from generations.fal.platform import UnitPrice
from generations.fal.wire import billable_units
from simulator import Simulator
from tests.fixtures.billing import client_of_fal
from tests.simulator.queue_client import FLUX, VEO, QueueClient

__all__ = ["client_of_fal"]
pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture
def queue_client(fal: Simulator) -> Iterator[QueueClient]:
    client = QueueClient(fal)
    with client.http:
        yield client


@pytest.fixture
def admin(fal: Simulator) -> Iterator[FalClient]:
    client = FalClient(key=fal.environment()["FAL_ADMIN_KEY"], queue_url=fal.url)
    yield client
    client.close()


def events(client: FalClient, *, days: int = 1) -> list[platform.BillingEvent]:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    return list(platform.billing_events(client, since=soon - timedelta(days=days), until=soon))


# --- Prices ---


def test_prices_are_decimals_and_unknown_endpoints_are_left_out(client_of_fal: FalClient) -> None:
    found = platform.prices(client_of_fal, [FLUX, "fal-ai/no-such-model", VEO])

    assert found == {
        FLUX: UnitPrice(endpoint=FLUX, dollars=Decimal("0.003"), unit="megapixels"),
        VEO: UnitPrice(endpoint=VEO, dollars=Decimal("0.15"), unit="seconds"),
    }


def test_more_than_fifty_endpoints_take_several_requests(client_of_fal: FalClient) -> None:
    """Fifty-one would be refused as a whole."""
    assert FLUX in platform.prices(client_of_fal, [FLUX] * 51)


def test_a_changed_price_is_read(fal: Simulator, client_of_fal: FalClient) -> None:
    fal.reprice(FLUX, "0.0031", "images")

    assert platform.prices(client_of_fal, [FLUX])[FLUX].dollars == Decimal("0.0031")


# --- The bill ---


def test_the_bill_names_request_units_and_dollars(queue_client: QueueClient, admin: FalClient) -> None:
    request = queue_client.run(inputs={"num_images": 3})

    (event,) = events(admin)

    assert (event.request_id, event.endpoint) == (request.request_id, FLUX)
    assert (event.units, event.dollars) == (Decimal(3), Decimal("0.009"))


def test_the_simulator_bills_what_the_scenario_says(queue_client: QueueClient, admin: FalClient) -> None:
    expected = [
        ("", ["0.003"]),
        ("[bill:double]", ["0.006"]),
        ("[bill:missing]", []),
        ("[bill:foreign]", ["0.04", "0.003"]),
        ("[fail:content_policy_violation]", []),
        ("[fail:content_policy_violation][bill:failed]", ["0.003"]),
        ("[outputs:zero]", []),
    ]

    for scenario, dollars in expected:
        before = events(admin)
        queue_client.run(scenario)
        assert [event.dollars for event in events(admin)[len(before) :]] == [Decimal(each) for each in dollars]


def test_a_long_bill_is_read_page_by_page_and_span_by_span(
    queue_client: QueueClient, admin: FalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "EVENTS_PER_PAGE", 2)
    ordered = [queue_client.run(inputs={"seed": seed}).request_id for seed in range(3)]

    assert [event.request_id for event in events(admin, days=200)] == ordered


def test_the_bill_requires_an_admin_key(client_of_fal: FalClient, queue_client: QueueClient) -> None:
    with pytest.raises(Forbidden):
        events(client_of_fal)


def test_a_result_names_its_billed_units(queue_client: QueueClient, client_of_fal: FalClient) -> None:
    request = queue_client.run(inputs={"num_images": 3})

    verdict = client_of_fal.result(client_of_fal.receipt_for(FLUX, request.request_id).response_url)

    assert verdict.billable_units == Decimal(3)


def test_billed_units_that_are_not_a_number_are_ignored() -> None:
    values = ("", "-1", "1e3", "NaN", "one", "1,5", "9" * 12)

    assert [value for value in values if billable_units({"x-fal-billable-units": value}) is not None] == []


# --- OpenAPI documents ---


def test_the_openapi_document_is_read_without_a_key(fal: Simulator) -> None:
    """It is on fal's website, which must not receive the key."""
    client = FalClient(key="", queue_url=fal.url)

    assert platform.openapi(client, FLUX)["info"]["x-fal-metadata"]["endpointId"] == FLUX
    with pytest.raises(Gone):
        platform.openapi(client, "fal-ai/no-such-model")
    client.close()


# --- Responses of another form ---

EVENT = {
    "request_id": "r",
    "endpoint_id": "e",
    "timestamp": "2026-11-20T12:00:00Z",
    "output_units": 1,
    "cost_total": 0.1,
}


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[FalClient]:
    """A client whose fal answers every request with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        client = FalClient(key="k", queue_url=f"http://127.0.0.1:{server.server_port}")
        yield client
        client.close()
        server.shutdown()


def page(**changes: Any) -> bytes:
    return json.dumps({"billing_events": [{**EVENT, **changes}], "has_more": False}).encode()


def test_a_bill_of_another_form_is_refused() -> None:
    bodies = [
        b"<html>",
        b"[]",
        b"{}",
        b'{"billing_events": [1]}',
        b'{"billing_events": [{"cost_total": NaN}]}',
        page(timestamp="yesterday"),
        page(timestamp="2026-11-20T12:00:00"),
        page(output_units=None),
        page(output_units=True),
        page(cost_total="much"),
        page(cost_total=1e99),
        page(request_id=7),
        page(endpoint_id=""),
    ]

    for body in bodies:
        with answering(body) as client, pytest.raises(Unavailable):
            events(client)


def test_a_refused_request_says_whether_to_retry() -> None:
    for status, error in ((401, Forbidden), (403, Forbidden), (429, Unavailable), (500, Unavailable)):
        with answering(b"{}", status) as client, pytest.raises(error):
            platform.prices(client, [FLUX])


def test_an_endless_bill_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "PAGES_MAX", 3)
    endless = json.dumps({"billing_events": [], "has_more": True, "next_cursor": "again"}).encode()

    with answering(endless) as client, pytest.raises(Unavailable, match="too many pages"):
        events(client)


def test_the_exact_cost_is_preferred_to_the_rounded_total() -> None:
    with answering(page(cost_estimate_nano_usd=123_456_789)) as client:
        assert events(client)[0].dollars == Decimal("0.123456789")


def test_a_price_in_another_currency_is_refused() -> None:
    priced = {"prices": [{"endpoint_id": FLUX, "unit_price": 1, "unit": "images", "currency": "EUR"}]}

    with answering(json.dumps(priced).encode()) as client, pytest.raises(Unavailable, match="EUR"):
        platform.prices(client, [FLUX])
