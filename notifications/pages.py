"""The page of what one is told: mail, webhook endpoints, what was sent to them; and the way out of the mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from credits.models import CREDITS_MAX, Account
from generations.http import pagination
from generations.http.login_required import UserRequest, login_required
from generations.models import Retention
from generations.safe_http.recipients import BadAddress
from notifications import email, endpoints, outbox
from notifications.endpoints import EndpointError
from notifications.models import Subscriber, WebhookDelivery, WebhookEndpoint, WebhookType

TYPES = {
    WebhookType.COMPLETED: "a generation is completed",
    WebhookType.FAILED: "a generation fails",
    WebhookType.PROGRESSED: "a generation makes progress",
    WebhookType.CREDITS_LOW: "credits run low",
}


@require_safe
@never_cache
@login_required
def show(request: UserRequest) -> HttpResponse:
    return _show(request)


@require_POST
@login_required
def mail(request: UserRequest) -> HttpResponse:
    choice = request.POST.get("mail", "")
    if choice not in Subscriber.Mail.values:
        raise Http404
    email.prefer(_subscriber(request), Subscriber.Mail(choice))
    messages.info(request, "Saved.")
    return redirect("notifications")


@require_POST
@never_cache
@login_required
def add(request: UserRequest) -> HttpResponse:
    try:
        endpoint = endpoints.add(Account.objects.for_user(request.user), **_typed(request.POST))
    except (EndpointError, BadAddress) as error:
        return _show(request, status=422, refusal=str(error), typed=request.POST)
    # Not by way of a redirect: a secret belongs into no session and no cookie.
    return _show(request, secret=endpoints.secret_of(endpoint), whose=endpoint.url)


@require_POST
@never_cache
@login_required
def secret(request: UserRequest) -> HttpResponse:
    return _show(request, secret=endpoints.rotate(_subscriber(request)), whose="orders’ own addresses")


@require_POST
@never_cache
@login_required
def act(request: UserRequest, endpoint_id: UUID, action: str) -> HttpResponse:
    endpoint = get_object_or_404(WebhookEndpoint.objects.visible_to(request.user), pk=endpoint_id)
    if action == "rotate":
        return _show(request, secret=endpoints.rotate(endpoint), whose=endpoint.url)
    if action not in ACTIONS:
        raise Http404
    try:
        messages.info(request, ACTIONS[action](endpoint))
    except EndpointError as error:
        messages.info(request, str(error))
    return redirect("notifications")


@require_safe
@never_cache
@login_required
def delivery(request: UserRequest, delivery_id: UUID) -> HttpResponse:
    return render(request, "pages/delivery.html", {"delivery": _delivery(request, delivery_id)})


@require_POST
@login_required
def resend(request: UserRequest, delivery_id: UUID) -> HttpResponse:
    sent = _delivery(request, delivery_id)
    if outbox.resend(sent):
        messages.info(request, "It is sent again, under the same id.")
    else:
        messages.info(request, "Its endpoint is switched off or removed.")
    return redirect("webhook-delivery", sent.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_exempt  # RFC 8058: the mail program posts, and it has no cookie of ours. The ticket is the proof.
@never_cache
def unsubscribe(request: HttpRequest, ticket: str) -> HttpResponse:
    subscriber = email.owner_of(ticket)
    if subscriber is None:
        raise Http404
    # Programs that look at every link in a mail must stop nothing by that.
    if request.method == "POST":
        email.unsubscribe(subscriber)
    return render(request, "pages/unsubscribe.html", {"done": request.method == "POST"})


def _test(endpoint: WebhookEndpoint) -> str:
    endpoints.require_on(endpoint)
    outbox.test(endpoint)
    return "A test message is on its way. What came of it stands below in a moment."


def _on(endpoint: WebhookEndpoint) -> str:
    endpoints.switch_on(endpoint)
    return "Switched on. It hears of what happens from now on."


def _off(endpoint: WebhookEndpoint) -> str:
    endpoints.switch_off(endpoint, "You switched it off.")
    return "Switched off."


def _remove(endpoint: WebhookEndpoint) -> str:
    endpoints.remove(endpoint)
    return "Removed."


ACTIONS: dict[str, Callable[[WebhookEndpoint], str]] = {"test": _test, "on": _on, "off": _off, "remove": _remove}


def _show(request: UserRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    sent = WebhookDelivery.objects.visible_to(request.user).select_related("endpoint")
    typed = more.pop("typed", None)
    context = {
        "subscriber": Subscriber.objects.filter(account__user=request.user).first(),
        "choices": Subscriber.Mail.choices,
        "retention": Retention.objects.filter(account__user=request.user).first(),
        "endpoints": WebhookEndpoint.objects.visible_to(request.user),
        "types": [(kind.value, words, _is_chosen(kind, typed)) for kind, words in TYPES.items()],
        "typed": typed or {},
        "page": pagination.newest(sent, before=request.GET.get("before")),
        **more,
    }
    return render(request, "pages/notifications.html", context, status=status)


def _is_chosen(kind: WebhookType, typed: QueryDict | None) -> bool:
    return kind in (endpoints.DEFAULT_TYPES if typed is None else typed.getlist("types"))


def _typed(form: QueryDict) -> dict[str, Any]:
    """What the form says. Raises EndpointError for what no browser of ours would send."""
    threshold = form.get("credits_low_at", "").strip()
    if threshold and not (re.fullmatch("[0-9]{1,10}", threshold) and 1 <= int(threshold) <= CREDITS_MAX):
        raise EndpointError(f"The threshold is a whole number of credits from 1 to {CREDITS_MAX:,}.")
    chosen = [kind.value for kind in TYPES if kind in form.getlist("types")]
    if not chosen:
        raise EndpointError("Choose at least one thing to be told.")
    return {
        "url": form.get("url", "").strip(),
        "types": chosen,
        "credits_low_at": int(threshold) if threshold else None,
    }


def _subscriber(request: UserRequest) -> Subscriber:
    return endpoints.of(Account.objects.for_user(request.user))


def _delivery(request: UserRequest, delivery_id: UUID) -> WebhookDelivery:
    rows = WebhookDelivery.objects.visible_to(request.user).select_related("endpoint").prefetch_related("log")
    return get_object_or_404(rows, pk=delivery_id)
