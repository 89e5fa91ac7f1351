"""fal's Platform API: its record of requests, its price list, and what it has billed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from simulator.billing import Bill, Charge
from simulator.http_messages import Call, Reply, as_json
from simulator.log import Log
from simulator.records import Request
from simulator.signing import Identity

DAY_SECONDS = 86_400
LIMIT_MAX = 100
LIMIT_USUAL = 50
EVENTS_LIMIT_MAX = 10_000
# fal takes so many ids in one question, and so long a span.
IDS_MAX = 50
SPAN_DAYS_MAX = 90


class BadQuery(ValueError):
    """A parameter of the list cannot be understood."""


class Unlisted(LookupError):
    """There is no price for one of the endpoints, or no such request."""


class Platform:
    """What a customer may ask about his account; about the bill, with an admin key alone."""

    def __init__(self, *, log: Log, identity: Identity, bill: Bill) -> None:
        self._log = log
        self._identity = identity
        self._bill = bill

    def by_endpoint(self, call: Call) -> Reply:
        """The requests of one endpoint, those in flight included, the newest first."""
        return self._answer(call, self._page)

    def pricing(self, call: Call) -> Reply:
        """One price an endpoint; options that cost more are not in it."""
        return self._answer(call, self._prices)

    def billing_events(self, call: Call) -> Reply:
        """What was billed, the oldest first."""
        if self._is_with(call, self._identity.fal_key):
            return _error(403, "authorization_error", "This needs a key with the ADMIN scope")
        return self._answer(call, self._events, key=self._identity.admin_key)

    def delete_payloads(self, call: Call, request_id: str) -> Reply:
        """The JSON of a request and the files that it made, for good."""
        if self._is_with(call, self._identity.fal_key):
            return _error(403, "authorization_error", "This needs a key with the ADMIN scope")
        return self._answer(call, lambda _: self._deleted(request_id), key=self._identity.admin_key)

    def _deleted(self, request_id: str) -> dict[str, Any]:
        if self._log.request(request_id) is None:
            raise Unlisted(f"There is no request {request_id}")
        links = [file.path for file in self._log.files(request_id)]
        self._log.forget(request_id)
        return {"cdn_delete_results": [{"link": link, "exception": None} for link in links]}

    def _answer(self, call: Call, answer: Callable[[Call], dict[str, Any]], *, key: str | None = None) -> Reply:
        if not self._is_with(call, *([key] if key else [self._identity.fal_key, self._identity.admin_key])):
            return _error(401, "authorization_error", "Authentication is required")
        try:
            return as_json(answer(call))
        except BadQuery as error:
            return _error(400, "validation_error", str(error))
        except Unlisted as error:
            return _error(404, "not_found", str(error))

    def _is_with(self, call: Call, *keys: str) -> bool:
        return call.headers.get("authorization") in [f"Key {key}" for key in keys]

    def _prices(self, call: Call) -> dict[str, Any]:
        endpoints = _ids(call, "endpoint_id")
        if not endpoints:
            raise BadQuery("endpoint_id is required")
        prices = {endpoint: self._bill.price(endpoint) for endpoint in endpoints}
        if missing := [endpoint for endpoint, price in prices.items() if price is None]:
            raise Unlisted(f"No pricing for {', '.join(missing)}")
        items = [
            {"endpoint_id": price.endpoint, "unit_price": float(price.dollars), "unit": price.unit, "currency": "USD"}
            for price in prices.values()
            if price is not None
        ]
        return {"prices": items, "has_more": False, "next_cursor": None}

    def _events(self, call: Call) -> dict[str, Any]:
        start = _moment(call, "start", time.time() - DAY_SECONDS)
        end = _moment(call, "end", time.time() + 1)
        if end - start > SPAN_DAYS_MAX * DAY_SECONDS:
            raise BadQuery(f"The span is limited to {SPAN_DAYS_MAX} days")
        wanted, endpoints = _ids(call, "request_id"), _ids(call, "endpoint_id")
        found = [
            charge
            for charge in self._bill.charges()
            if start <= charge.at < end
            and (not wanted or charge.request_id in wanted)
            and (not endpoints or charge.endpoint in endpoints)
        ]
        first = _whole(call, "cursor", 0)
        limit = min(EVENTS_LIMIT_MAX, max(1, _whole(call, "limit", LIMIT_USUAL)))
        more = len(found) > first + limit
        return {
            "billing_events": [_event(charge) for charge in found[first : first + limit]],
            "has_more": more,
            "next_cursor": str(first + limit) if more else None,
        }

    def _page(self, call: Call) -> dict[str, Any]:
        start = _moment(call, "start", time.time() - DAY_SECONDS)
        end = _moment(call, "end", time.time() + DAY_SECONDS)
        sent = self._log.accepted_between(_endpoint(call), start, end)
        found = [request for request in reversed(sent) if _matches(request, call)]
        first = _whole(call, "cursor", 0)
        limit = min(LIMIT_MAX, max(1, _whole(call, "limit", LIMIT_USUAL)))
        more = len(found) > first + limit
        with_payloads = "payloads" in call.query.get("expand", "")
        return {
            "items": [_item(request, with_payloads=with_payloads) for request in found[first : first + limit]],
            "has_more": more,
            "next_cursor": str(first + limit) if more else None,
        }


def _event(charge: Charge) -> dict[str, Any]:
    cost = float(charge.dollars)
    return {
        "request_id": charge.request_id,
        "endpoint_id": charge.endpoint,
        "timestamp": _iso(charge.at),
        "output_units": float(charge.units),
        "unit_price": float(charge.unit_price),
        "percent_discount": 0,
        "cost_subtotal": cost,
        "cost_discount": 0,
        "cost_total": cost,
        "cost_estimate_nano_usd": int(charge.dollars * 10**9),
    }


def _ids(call: Call, name: str) -> list[str]:
    """A list with commas; fal takes the parameter several times, too."""
    found = [word for word in call.query.get(name, "").split(",") if word]
    if len(found) > IDS_MAX:
        raise BadQuery(f"At most {IDS_MAX} of {name}")
    return found


def _endpoint(call: Call) -> str:
    if not call.query.get("endpoint_id"):
        raise BadQuery("endpoint_id is required")
    return call.query["endpoint_id"]


def _matches(request: Request, call: Call) -> bool:
    wanted = call.query.get("request_id")
    status = call.query.get("status")
    return (wanted is None or request.request_id == wanted) and (status is None or _outcome(request) == status)


def _outcome(request: Request) -> str | None:
    """`success`, `user_error` or `error`; None while it is in flight."""
    if request.state != "COMPLETED":
        return None
    if request.error is None:
        return "success"
    return "user_error" if (request.status_code or 500) < 500 else "error"


def _item(request: Request, *, with_payloads: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "request_id": request.request_id,
        "endpoint_id": request.endpoint,
        "sent_at": _iso(request.accepted_at),
        "started_at": _iso(request.started_at),
    }
    if request.completed_at is not None:
        began = request.started_at or request.accepted_at
        duration = round(request.completed_at - began, 3)
        item |= {"ended_at": _iso(request.completed_at), "status_code": request.status_code, "duration": duration}
    if with_payloads:
        item |= {"json_input": request.inputs, "json_output": request.answer}
    return item


def _moment(call: Call, name: str, default: float) -> float:
    text = call.query.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadQuery(f"{name} must be an ISO 8601 date or time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise BadQuery(f"{name} must be a whole number")
    return int(text)


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _error(status: int, kind: str, message: str) -> Reply:
    return as_json({"error": {"type": kind, "message": message}}, status)
