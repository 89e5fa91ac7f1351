"""fal's Platform API: what a model costs, what was billed, how an endpoint describes itself, and what fal shall forget.

Money is Decimal from the wire on: a float never holds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from generations.fal.client import FalClient
from generations.fal.errors import Forbidden, Gone, Unavailable, clean

# fal takes so many ids in one question, and so long a span.
IDS_MAX = 50
SPAN_MAX = timedelta(days=89)
EVENTS_A_PAGE = 1_000
# A million events in one span: somebody else's account, or a cursor that runs in circles.
PAGES_MAX = 1_000
DOLLARS_MAX = Decimal(1_000_000)


@dataclass(frozen=True, kw_only=True)
class UnitPrice:
    """fal's list price of an endpoint: one unit, without the options that cost more."""

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
    """What was charged, discounts taken off."""


def prices(client: FalClient, endpoints: Sequence[str]) -> dict[str, UnitPrice]:
    """What fal's list says of these; what it has no price for is left out. Raises Unavailable, Forbidden."""
    found: dict[str, UnitPrice] = {}
    for first in range(0, len(endpoints), IDS_MAX):
        found |= _prices_of(client, endpoints[first : first + IDS_MAX])
    return found


def _prices_of(client: FalClient, endpoints: Sequence[str]) -> dict[str, UnitPrice]:
    try:
        page = _ask(client, "models/pricing", {"endpoint_id": ",".join(endpoints)})
    except Gone:
        # One unknown name, and fal answers for none of them: then each is asked for by itself.
        if len(endpoints) == 1:
            return {}
        return {key: price for each in endpoints for key, price in _prices_of(client, [each]).items()}
    items = [_price(item) for item in _items(page, "prices")]
    return {price.endpoint: price for price in items}


def _price(item: Mapping[str, Any]) -> UnitPrice:
    if item.get("currency", "USD") != "USD":
        raise Unavailable(f"fal names a price in {clean(str(item['currency']))[:10]}")
    return UnitPrice(
        endpoint=_text(item, "endpoint_id"), dollars=_amount(item, "unit_price"), unit=_text(item, "unit")[:50]
    )


def billing_events(client: FalClient, *, since: datetime, until: datetime) -> Iterator[BillingEvent]:
    """Every line of the bill in that time. `client` holds an admin key. Raises Unavailable, Forbidden."""
    while since < until:
        end = min(until, since + SPAN_MAX)
        yield from _events_between(client, since, end)
        since = end


def _events_between(client: FalClient, since: datetime, until: datetime) -> Iterator[BillingEvent]:
    query = {"start": since.isoformat(), "end": until.isoformat(), "limit": str(EVENTS_A_PAGE)}
    cursor = None
    for _ in range(PAGES_MAX):
        page = _ask(client, "models/billing-events", query | ({"cursor": cursor} if cursor else {}))
        yield from map(_event, _items(page, "billing_events"))
        cursor = str(page.get("next_cursor") or "") if page.get("has_more") else ""
        if not cursor:
            return
    raise Unavailable("fal's bill is too long to be read")


def _event(item: Mapping[str, Any]) -> BillingEvent:
    return BillingEvent(
        request_id=_text(item, "request_id")[:100],
        endpoint=_text(item, "endpoint_id")[:200],
        billed_at=_moment(_text(item, "timestamp")),
        units=_amount(item, "output_units"),
        dollars=_cost(item),
    )


def _cost(item: Mapping[str, Any]) -> Decimal:
    # Whole billionths of a dollar, where fal gives them; they are the same charge without any rounding.
    nanos = item.get("cost_estimate_nano_usd")
    if isinstance(nanos, int) and not isinstance(nanos, bool):
        return Decimal(nanos).scaleb(-9)
    return _amount(item, "cost_total")


def openapi(client: FalClient, endpoint: str) -> Mapping[str, Any]:
    """fal's own description of an endpoint. Raises Gone for one that it does not know, Unavailable."""
    return _read(client.openapi(endpoint), "the OpenAPI document")


def delete_payloads(client: FalClient, request_id: str) -> None:
    """Have fal delete what it keeps of a request: its JSON, and the files that it made; not what was brought to it.

    `client` holds an admin key. What fal no longer has is deleted as well. Raises Forbidden; Unavailable, also when a
    file could not be deleted.
    """
    path = f"models/requests/{quote(request_id, safe='')}/payloads"
    try:
        answer = _read(client.platform(path, {}, method="DELETE"), "the deletion of payloads")
    except Gone:
        return
    if left := sum(1 for item in _items(answer, "cdn_delete_results") if item.get("exception")):
        raise Unavailable(f"fal could not delete {left} of the files")


def _ask(client: FalClient, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
    return _read(client.platform(path, query), path)


def _read(response: Any, what: str) -> Mapping[str, Any]:
    if response.status_code in (401, 403):
        raise Forbidden(f"{response.status_code} for {what}")
    if response.status_code in (404, 410):
        raise Gone(f"fal does not know it: {response.status_code} for {what}")
    if response.status_code != 200:
        raise Unavailable(f"{response.status_code} for {what}")
    try:
        message = json.loads(response.content.decode(), parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise Unavailable(f"{what} is not JSON") from error
    if not isinstance(message, Mapping):
        raise Unavailable(f"{what} is not a JSON object")
    return message


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _items(page: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = page.get(name)
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise Unavailable(f"fal's answer holds no {name}")
    return items


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise Unavailable(f"fal's answer lacks {name}")
    return clean(value)


def _amount(item: Mapping[str, Any], name: str) -> Decimal:
    value = item.get(name)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise Unavailable(f"fal's answer lacks {name}")
    try:
        amount = Decimal(value)
    except InvalidOperation as error:
        raise Unavailable(f"{name} is not a number") from error
    if not amount.is_finite() or abs(amount) > DOLLARS_MAX:
        raise Unavailable(f"{name} is out of all bounds")
    return amount


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unavailable("fal names a time that is none") from error
    if moment.tzinfo is None:
        raise Unavailable("fal names a time without its zone")
    return moment
