"""fal's Platform API: list prices, the lines of the bill, an endpoint's OpenAPI document, the deletion of payloads.

`manage.py sync_prices`, `reconcile_bill` and `import_model` and the eraser call it, each with a `FalClient`. Money is
`Decimal` from the JSON on and never a float. A response of any other form than the documented one raises Unavailable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from generations.fal.client import FalClient
from generations.fal.errors import Forbidden, Gone, Unavailable, clean
from generations.fal.wire import InvalidMessage, read_json

# The limits of fal's API (docs/fal.md, section 6).
ENDPOINTS_PER_REQUEST = 50
SPAN_MAX = timedelta(days=89)
EVENTS_PER_PAGE = 1_000
# A million lines in one span mean a cursor that never ends, or an account that is not Limn's.
PAGES_MAX = 1_000
DOLLARS_MAX = Decimal(1_000_000)


@dataclass(frozen=True, kw_only=True)
class UnitPrice:
    """fal's list price of one unit of an endpoint, without options that cost more."""

    endpoint: str
    dollars: Decimal
    unit: str


@dataclass(frozen=True, kw_only=True)
class BillingEvent:
    """A line of fal's bill."""

    request_id: str
    endpoint: str
    billed_at: datetime
    units: Decimal
    dollars: Decimal
    """What was charged, after discounts."""


def prices(client: FalClient, endpoints: Sequence[str]) -> dict[str, UnitPrice]:
    """Return fal's list prices by endpoint. Endpoints without a price are left out. Raises Unavailable, Forbidden."""
    found: dict[str, UnitPrice] = {}
    for first in range(0, len(endpoints), ENDPOINTS_PER_REQUEST):
        found |= _prices_of(client, endpoints[first : first + ENDPOINTS_PER_REQUEST])
    return found


def _prices_of(client: FalClient, endpoints: Sequence[str]) -> dict[str, UnitPrice]:
    try:
        page = _read(client.platform("models/pricing", {"endpoint_id": ",".join(endpoints)}), "models/pricing")
    except Gone:
        # One unknown endpoint makes fal answer 404 for all of them, so each is asked for alone.
        if len(endpoints) == 1:
            return {}
        return {key: price for each in endpoints for key, price in _prices_of(client, [each]).items()}
    found = {}
    for item in _items(page, "prices"):
        if item.get("currency", "USD") != "USD":
            raise Unavailable(f"fal's price is in {clean(str(item['currency']))[:10]} and not in USD")
        endpoint = _text(item, "endpoint_id")
        found[endpoint] = UnitPrice(
            endpoint=endpoint, dollars=_amount(item, "unit_price"), unit=_text(item, "unit")[:50]
        )
    return found


def billing_events(client: FalClient, *, since: datetime, until: datetime) -> Iterator[BillingEvent]:
    """Yield the lines of fal's bill of a time span of any length.

    Args:
        client: A client with an admin key.

    Raises:
        Unavailable, Forbidden: While the result is iterated.
    """
    while since < until:
        end = min(until, since + SPAN_MAX)
        query = {"start": since.isoformat(), "end": end.isoformat(), "limit": str(EVENTS_PER_PAGE)}
        for _ in range(PAGES_MAX):
            page = _read(client.platform("models/billing-events", query), "models/billing-events")
            yield from map(_billing_event, _items(page, "billing_events"))
            if not page.get("has_more") or not page.get("next_cursor"):
                break
            query["cursor"] = str(page["next_cursor"])
        else:
            raise Unavailable("fal's bill has too many pages")
        since = end


def _billing_event(item: Mapping[str, Any]) -> BillingEvent:
    try:
        billed_at = datetime.fromisoformat(_text(item, "timestamp"))
    except ValueError as error:
        raise Unavailable("timestamp is not a time") from error
    if billed_at.tzinfo is None:
        raise Unavailable("timestamp has no time zone")
    # fal also gives the cost in whole billionths of a dollar: the same charge, not rounded.
    nanos = item.get("cost_estimate_nano_usd")
    if isinstance(nanos, int) and not isinstance(nanos, bool):
        dollars = Decimal(nanos).scaleb(-9)
    else:
        dollars = _amount(item, "cost_total")
    return BillingEvent(
        request_id=_text(item, "request_id")[:100],
        endpoint=_text(item, "endpoint_id")[:200],
        billed_at=billed_at,
        units=_amount(item, "output_units"),
        dollars=dollars,
    )


def openapi(client: FalClient, endpoint: str) -> Mapping[str, Any]:
    """Return fal's OpenAPI document of an endpoint. Raises Gone if fal does not know the endpoint, Unavailable."""
    return _read(client.openapi(endpoint), "the OpenAPI document")


def delete_payloads(client: FalClient, request_id: str) -> None:
    """Delete what fal keeps of a request: its JSON and the files that it made. Input files stay.

    It succeeds if fal has nothing of the request any more.

    Args:
        client: A client with an admin key.

    Raises:
        Unavailable: Also if fal could not delete one of the files.
        Forbidden: fal refuses the key.
    """
    path = f"models/requests/{quote(request_id, safe='')}/payloads"
    try:
        answer = _read(client.platform(path, {}, method="DELETE"), "the deletion of payloads")
    except Gone:
        return
    if left := sum(1 for item in _items(answer, "cdn_delete_results") if item.get("exception")):
        raise Unavailable(f"fal could not delete {left} of the files")


def _read(response: Any, what: str) -> Mapping[str, Any]:
    """Return the JSON object of a response, with every fraction as a Decimal."""
    if response.status_code in (401, 403):
        raise Forbidden(f"{response.status_code} for {what}")
    if response.status_code in (404, 410):
        raise Gone(f"{response.status_code} for {what}")
    if response.status_code != 200:
        raise Unavailable(f"{response.status_code} for {what}")
    try:
        message = read_json(response.content, parse_float=Decimal)
    except InvalidMessage as error:
        raise Unavailable(f"{what} is not JSON") from error
    if not isinstance(message, Mapping):
        raise Unavailable(f"{what} is not a JSON object")
    return message


def _items(page: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = page.get(name)
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise Unavailable(f"fal's answer has no list of {name}")
    return items


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"fal's answer has no {name}")
    return clean(value)


def _amount(item: Mapping[str, Any], name: str) -> Decimal:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Unavailable(f"fal's answer has no {name}")
    try:
        amount = Decimal(value)
    except InvalidOperation as error:
        raise Unavailable(f"{name} is not a number") from error
    if not amount.is_finite() or abs(amount) > DOLLARS_MAX:
        raise Unavailable(f"{name} is out of range")
    return amount
