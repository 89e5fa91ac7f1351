"""GET /metrics: the metrics for Prometheus, in its text format. They reveal the business, so access is restricted."""

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

# A proxy adds at least one of these headers to the requests that it forwards.
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")

collector = Collector()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with all metrics; with 503 while old rows are still being added up, which the workers usually do."""
    if not may_read(request):
        return HttpResponse(
            "Send METRICS_TOKEN as “Authorization: Bearer …”, or log in as staff.\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": 'Bearer realm="Limn metrics"'},
        )
    try:
        return HttpResponse(generate_latest(collector), content_type=CONTENT_TYPE_LATEST)
    except NotReady:
        return HttpResponse(
            "Past events are still being added up. Try again in a second.\n",
            status=503,
            content_type="text/plain",
            headers={"Retry-After": "1"},
        )


def may_read(request: HttpRequest) -> bool:
    """Return whether the request has METRICS_TOKEN or is from staff, or, without a token, is from this machine."""
    if settings.METRICS_TOKEN:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode()):
            return True
    else:
        # Requests that a proxy on this machine forwards also come from a loopback address. They differ by the host that
        # they name, or by the headers that the proxy adds.
        host = request.get_host().rpartition(":")[0] or request.get_host()
        is_local = is_loopback(request.META.get("REMOTE_ADDR", "")) and is_loopback(host.strip("[]"))
        if is_local and not any(name in request.headers for name in FORWARDED):
            return True
    return request.user.is_active and request.user.is_staff
