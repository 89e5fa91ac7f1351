"""Health checks for operators and load balancers, and 503 for requests that this process cannot serve.

`/health/live` says that the process answers. `/health/ready` says that the database, the storage and the worker
processes do as well, and that the clock is right. The middleware bounds the time for which any request waits for the
database, and refuses requests while the clock of this process is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.log import log_response
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config import error_handlers
from database import clock, timeouts
from database.transactions import UNAVAILABLE
from generations.errors import Unavailable
from generations.provider import circuit_breaker
from generations.workers import heartbeats, storage_state
from operations import statistics

# `manage.py work` sends a heartbeat every few seconds. Results are delayed when the reconciler sends none for longer.
SILENT_MAX = {"worker": timedelta(seconds=30), "reconciler": timedelta(seconds=120)}
# Anyone may call the endpoint, so the answer is cached.
STORAGE_CACHED_SECONDS = 5

# Operators ask these what is wrong.
SERVED_WITH_A_WRONG_CLOCK = ("/health/", "/metrics")

WELL = "ok"


class DatabaseUnavailableMiddleware:
    """Limits how long a request waits for the database, and answers 503 with Retry-After if it is unavailable.

    It also answers 503 while the clock of this process is wrong: another process does the work meanwhile.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with timeouts.limited():
            if not request.path_info.startswith(SERVED_WITH_A_WRONG_CLOCK) and _is_clock_wrong():
                _skew.report()
                return error_handlers.answer(request, Unavailable("The clock of this server is wrong."))
            return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, UNAVAILABLE):
            return None
        timeouts.record_failure(exception)
        error_handlers.logger.error("the database is unavailable", exc_info=exception)
        return error_handlers.answer(request, Unavailable())


@never_cache
@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """Answer 200 as long as this process serves requests. It does not ask the database, whose outage is no reason to
    restart this process."""
    return JsonResponse({"status": WELL})


@never_cache
@require_safe
def ready(request: HttpRequest) -> HttpResponse:
    """Answer 200 if every part that an order needs is available, else 503; the body names the state of each part."""
    storage = str(cache.get_or_set("health.storage", _check_storage, STORAGE_CACHED_SECONDS))
    parts = {**_database_and_heartbeats(), "storage": storage, "clock": _check_clock()}
    well = all(state == WELL for state in parts.values())
    status = {"status": WELL if well else "unwell", "parts": parts}
    response = JsonResponse(status, status=200 if well else 503)
    if not well:
        # At level info: a load balancer asks every second, and would fill the log with errors.
        log_response(
            "not ready: %s", parts, response=response, request=request, logger=error_handlers.logger, level="info"
        )
    return response


def _database_and_heartbeats() -> dict[str, str]:
    """Return the states of the database and of the heartbeats, with one query: a request waits for it once."""
    try:
        silent = heartbeats.ages(SILENT_MAX)
    except UNAVAILABLE:
        return {"database": "away", **dict.fromkeys(SILENT_MAX, "unknown")}
    states = {"database": WELL}
    for name, at_most in SILENT_MAX.items():
        states[name] = "never seen" if name not in silent else WELL if silent[name] < at_most else "silent"
    return states


_skew = clock.SkewLog()


def _is_clock_wrong() -> bool:
    try:
        return clock.is_wrong()
    except UNAVAILABLE:
        # Not known yet. What needs the database is answered with 503 anyway.
        return False


def _check_clock() -> str:
    return f"{clock.skew_seconds():+.0f} s from the database's" if _is_clock_wrong() else WELL


def _check_storage() -> str:
    try:
        folder = default_storage.path("")
    except NotImplementedError:
        # A bucket has no paths.
        try:
            default_storage.exists("health")
        except Exception:  # Whatever the client of the bucket raises, the storage is unavailable.
            error_handlers.logger.warning("storage is unavailable", exc_info=True)
            return "away"
    else:
        if not os.access(folder, os.W_OK):
            return "not writable"
    try:
        return storage_state.part_of_health()
    except UNAVAILABLE:
        # The part of the database says so.
        return WELL


# --- fal ---

FAL_CACHED_SECONDS = 10
QUANTILES = {"p50": 0.5, "p95": 0.95}


@never_cache
@require_safe
def fal(request: HttpRequest) -> HttpResponse:
    """Answer how well fal works: rates and times of the last hour, without counts or secrets. 503 if nothing can be
    ordered."""
    summary: dict[str, Any] = cache.get_or_set("health.fal", _summarize_fal, FAL_CACHED_SECONDS) or {}
    well = summary["key"] == "present" and summary["breaker"] == "closed"
    response = JsonResponse({"status": WELL if well else "unwell", **summary}, status=200 if well else 503)
    if not well:
        log_response("fal: %s", summary, response=response, request=request, logger=error_handlers.logger, level="info")
    return response


def _summarize_fal() -> dict[str, Any]:
    ended, lags = statistics.ended_generations(), statistics.callback_lags()
    failed = statistics.percent(generation.is_failure for generation in ended)
    by_callback = statistics.percent(
        generation.by_callback for generation in ended if generation.by_callback is not None
    )
    quantiles = {name: statistics.quantile(lags, share) for name, share in QUANTILES.items()}
    return {
        "key": "present" if settings.FAL_KEY else "missing",
        "breaker": "open" if circuit_breaker.is_open() else "closed",
        "last_success_at": statistics.last_success_at(),
        "last_hour": {
            "error_rate": None if failed is None else failed / 100,
            "by_callback": None if by_callback is None else by_callback / 100,
            "callback_lag_seconds": {
                name: None if seconds is None else round(seconds, 3) for name, seconds in quantiles.items()
            },
        },
    }
