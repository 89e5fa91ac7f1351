"""GET /metrics: for Prometheus, in its text format. Not for everybody: it tells how business goes."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from generations.safe_http.addresses import is_loopback
from operations.metrics import Collector
from operations.running_totals import NotReady

# Of whatever a proxy adds to what it passes on, one of these.
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")

_AGAIN = {"Retry-After": "1"}

_collector = Collector()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What is so now. 503 while a process that has just started still counts what was before it."""
    if not may_read(request):
        return _refusal()
    try:
        return HttpResponse(generate_latest(_collector), content_type=CONTENT_TYPE_LATEST)
    except NotReady:
        return HttpResponse("Still counting. Ask again.\n", status=503, content_type="text/plain", headers=_AGAIN)


def may_read(request: HttpRequest) -> bool:
    """The bearer of METRICS_TOKEN, and staff; without such a token, also who asks on this very machine."""
    if settings.METRICS_TOKEN:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), settings.METRICS_TOKEN.encode()):
            return True
    elif _is_on_this_machine(request):
        return True
    return request.user.is_active and request.user.is_staff


def _is_on_this_machine(request: HttpRequest) -> bool:
    # A proxy on this machine comes from loopback too. It says for whom, or names the host that it was asked for.
    host = request.get_host().rpartition(":")[0] or request.get_host()
    here = is_loopback(request.META.get("REMOTE_ADDR", "")) and is_loopback(host.strip("[]"))
    return here and not any(name in request.headers for name in FORWARDED)


def _refusal() -> HttpResponse:
    words = "Send METRICS_TOKEN as “Authorization: Bearer …”, or log in as staff.\n"
    headers = {"WWW-Authenticate": 'Bearer realm="Limn metrics"'}
    return HttpResponse(words, status=401, content_type="text/plain; charset=utf-8", headers=headers)
