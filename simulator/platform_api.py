"""fal's Platform API: the list of requests, the price list, billing events, and the deletion of payloads.

Limn uses the list to find a submission whose response was lost, and the billing events to check its own accounts.
Responses and errors have the envelope of the Platform API, which differs from that of the queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from simulator.billing import Bill
from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.log import Log
from simulator.signing import FalAccount

Body = dict[str, Any]
"""The JSON object of a response."""
Handler = Callable[..., Body]
"""Called with the HttpRequest and the named groups of the route. May raise InvalidQuery or NotListed."""

DAY_SECONDS = 86_400
PAGE_SIZE = 50
REQUESTS_PAGE_SIZE_MAX = 100
EVENTS_PAGE_SIZE_MAX = 10_000
# fal's limits of one query.
IDS_MAX = 50
SPAN_DAYS_MAX = 90


class InvalidQuery(ValueError):
    """A query parameter is missing or cannot be read."""


class NotListed(LookupError):
    """An endpoint has no price, or a request does not exist."""


class PlatformApi:
    """Handlers of the Platform API. The routes wrap each in `require_key`."""

    def __init__(self, *, log: Log, account: FalAccount, bill: Bill) -> None:
        self._log = log
        self._account = account
        self._bill = bill

    def require_key(self, handler: Handler, *, admin: bool = False) -> Callable[..., HttpResponse]:
        """Return a handler that checks the key, and that renders the result and the errors of `handler`.

        Args:
            admin: Accept only the admin key: the other key gets 403.
        """

        def handle(http_request: HttpRequest, **groups: str) -> HttpResponse:
            authorization = http_request.headers.get("authorization")
            if authorization == f"Key {self._account.fal_key}" and admin:
                return _error(403, "authorization_error", "This needs a key with the ADMIN scope")
            if authorization not in (f"Key {self._account.fal_key}", f"Key {self._account.admin_key}"):
                return _error(401, "authorization_error", "Authentication is required")
            try:
                return json_response(handler(http_request, **groups))
            except InvalidQuery as error:
                return _error(400, "validation_error", str(error))
            except NotListed as error:
                return _error(404, "not_found", str(error))

        return handle

    def list_requests(self, http_request: HttpRequest) -> Body:
        """Handle GET of the requests of one endpoint, newest first, including those that have not completed."""
        query = http_request.query
        endpoint = query.get("endpoint_id")
        if not endpoint:
            raise InvalidQuery("endpoint_id is required")
        start = _time_parameter(http_request, "start", time.time() - DAY_SECONDS)
        end = _time_parameter(http_request, "end", time.time() + DAY_SECONDS)
        request_id, status = query.get("request_id"), query.get("status")
        items = []
        for request in reversed(self._log.accepted_between(endpoint, start, end)):
            if request_id not in (None, request.request_id) or status not in (None, request.outcome):
                continue
            item: Body = {
                "request_id": request.request_id,
                "endpoint_id": request.endpoint,
                "sent_at": _iso(request.accepted_at),
                "started_at": _iso(request.started_at),
            }
            if request.completed_at is not None:
                started_at = request.started_at or request.accepted_at
                item |= {
                    "ended_at": _iso(request.completed_at),
                    "status_code": request.status_code,
                    "duration": round(request.completed_at - started_at, 3),
                }
            if "payloads" in query.get("expand", ""):
                item |= {"json_input": request.inputs, "json_output": request.answer}
            items.append(item)
        return _page("items", items, http_request, size_max=REQUESTS_PAGE_SIZE_MAX)

    def list_prices(self, http_request: HttpRequest) -> Body:
        """Handle GET of the price list: one price per endpoint, without surcharges for options."""
        endpoints = _ids(http_request, "endpoint_id")
        if not endpoints:
            raise InvalidQuery("endpoint_id is required")
        items, missing = [], []
        for endpoint in dict.fromkeys(endpoints):
            price = self._bill.price(endpoint)
            if price is None:
                missing.append(endpoint)
            else:
                unit_price = float(price.dollars)
                items.append({"endpoint_id": endpoint, "unit_price": unit_price, "unit": price.unit, "currency": "USD"})
        # fal refuses the whole query if one endpoint is unknown.
        if missing:
            raise NotListed(f"No pricing for {', '.join(missing)}")
        return {"prices": items, "has_more": False, "next_cursor": None}

    def list_billing_events(self, http_request: HttpRequest) -> Body:
        """Handle GET of the billing events, oldest first."""
        start = _time_parameter(http_request, "start", time.time() - DAY_SECONDS)
        # One second later than now, because the end is exclusive.
        end = _time_parameter(http_request, "end", time.time() + 1)
        if end - start > SPAN_DAYS_MAX * DAY_SECONDS:
            raise InvalidQuery(f"The span is limited to {SPAN_DAYS_MAX} days")
        request_ids, endpoints = _ids(http_request, "request_id"), _ids(http_request, "endpoint_id")
        items = [
            {
                "request_id": event.request_id,
                "endpoint_id": event.endpoint,
                "timestamp": _iso(event.at),
                "output_units": float(event.units),
                "unit_price": float(event.unit_price),
                "percent_discount": 0,
                "cost_subtotal": float(event.dollars),
                "cost_discount": 0,
                "cost_total": float(event.dollars),
                "cost_estimate_nano_usd": int(event.dollars * 10**9),
            }
            for event in self._bill.events()
            if start <= event.at < end
            and (not request_ids or event.request_id in request_ids)
            and (not endpoints or event.endpoint in endpoints)
        ]
        return _page("billing_events", items, http_request, size_max=EVENTS_PAGE_SIZE_MAX)

    def delete_payloads(self, http_request: HttpRequest, request_id: str) -> Body:
        """Handle DELETE of the payloads of a request: its inputs, its answer and its files."""
        if self._log.request(request_id) is None:
            raise NotListed(f"There is no request {request_id}")
        paths = [file.path for file in self._log.files(request_id)]
        self._log.delete_payloads(request_id)
        return {"cdn_delete_results": [{"link": path, "exception": None} for path in paths]}


def _page(name: str, items: list[Body], http_request: HttpRequest, *, size_max: int) -> Body:
    """Return one page of the items. The cursor is the position of the first item, as text."""
    first = _integer_parameter(http_request, "cursor", 0)
    limit = min(size_max, max(1, _integer_parameter(http_request, "limit", PAGE_SIZE)))
    has_more = len(items) > first + limit
    return {
        name: items[first : first + limit],
        "has_more": has_more,
        "next_cursor": str(first + limit) if has_more else None,
    }


def _ids(http_request: HttpRequest, name: str) -> list[str]:
    """Read a parameter that is a list separated by commas."""
    ids = [text for text in http_request.query.get(name, "").split(",") if text]
    if len(ids) > IDS_MAX:
        raise InvalidQuery(f"At most {IDS_MAX} of {name}")
    return ids


def _time_parameter(http_request: HttpRequest, name: str, default: float) -> float:
    """Read an ISO 8601 date or time, UTC if it names no zone, as Unix time."""
    text = http_request.query.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidQuery(f"{name} must be an ISO 8601 date or time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _integer_parameter(http_request: HttpRequest, name: str, default: int) -> int:
    text = http_request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()):
        raise InvalidQuery(f"{name} must be a whole number")
    return int(text)


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat()


def _error(status: int, kind: str, message: str) -> HttpResponse:
    return json_response({"error": {"type": kind, "message": message}}, status)
