"""The pages of notifications: the e-mail preference, webhook endpoints, the log of deliveries, and unsubscribing.

Every page but `unsubscribe` requires a login and shows the user's own rows only.
"""

from __future__ import annotations

import re
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
from notifications.endpoints import EndpointDisabled, EndpointError
from notifications.models import Subscriber, WebhookDelivery, WebhookEndpoint, WebhookType

TYPE_LABELS = {
    WebhookType.COMPLETED: "a generation is completed",
    WebhookType.FAILED: "a generation fails",
    WebhookType.PROGRESSED: "a generation makes progress",
    WebhookType.CREDITS_LOW: "credits run low",
}
"""The continuation of “When …” in the form of a new endpoint."""


@require_safe
@never_cache
@login_required
def notifications(request: UserRequest) -> HttpResponse:
    return _render_page(request)


@require_POST
@login_required
def email_preference(request: UserRequest) -> HttpResponse:
    choice = request.POST.get("mail", "")
    if choice not in Subscriber.EmailPreference.values:
        raise Http404
    email.set_preference(_subscriber(request), Subscriber.EmailPreference(choice))
    messages.info(request, "Saved.")
    return redirect("notifications")


@require_POST
@never_cache
@login_required
def create_endpoint(request: UserRequest) -> HttpResponse:
    try:
        fields = _read_endpoint_form(request.POST)
        endpoint = endpoints.create(Account.objects.for_user(request.user), **fields)
    except (EndpointError, BadAddress) as error:
        return _render_page(request, status=422, refusal=str(error), typed=request.POST)
    # Shown without a redirect: a secret must not be stored in a session or a cookie.
    return _render_page(request, secret=endpoints.current_secret(endpoint), recipient=endpoint.url)


@require_POST
@never_cache
@login_required
def rotate_account_secret(request: UserRequest) -> HttpResponse:
    secret = endpoints.rotate_secret(_subscriber(request))
    return _render_page(request, secret=secret, recipient="the URLs of your orders")


@require_POST
@never_cache
@login_required
def endpoint_action(request: UserRequest, endpoint_id: UUID, action: str) -> HttpResponse:
    """Handle the buttons below an endpoint: `test`, `on`, `off`, `rotate` and `remove`."""
    endpoint = get_object_or_404(WebhookEndpoint.objects.visible_to(request.user), pk=endpoint_id)
    match action:
        case "test":
            try:
                endpoints.require_enabled(endpoint)
                outbox.send_test(endpoint)
                message = "A test message has been queued. Its delivery is listed below."
            except EndpointDisabled as error:
                message = str(error)
        case "on":
            endpoints.enable(endpoint)
            message = "Switched on. Events that happen from now on are sent to it."
        case "off":
            endpoints.disable(endpoint, "You switched it off.")
            message = "Switched off."
        case "remove":
            endpoints.remove(endpoint)
            message = "Removed."
        case "rotate":
            # Shown without a redirect, as in `create_endpoint`.
            return _render_page(request, secret=endpoints.rotate_secret(endpoint), recipient=endpoint.url)
        case _:
            raise Http404
    messages.info(request, message)
    return redirect("notifications")


@require_safe
@never_cache
@login_required
def delivery(request: UserRequest, delivery_id: UUID) -> HttpResponse:
    return render(request, "pages/delivery.html", {"delivery": _find_delivery(request, delivery_id)})


@require_POST
@login_required
def resend(request: UserRequest, delivery_id: UUID) -> HttpResponse:
    found = _find_delivery(request, delivery_id)
    if outbox.resend(found):
        messages.info(request, "It will be sent again, with the same id.")
    else:
        messages.info(request, "Its endpoint is switched off or removed.")
    return redirect("webhook-delivery", found.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@csrf_exempt  # RFC 8058: the mail program sends the POST and has no cookie of Limn. The token is the proof.
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    subscriber = email.find_subscriber(token)
    if subscriber is None:
        raise Http404
    # Only a POST unsubscribes: some programs open every link of an e-mail to check it.
    if request.method == "POST":
        email.set_preference(subscriber, Subscriber.EmailPreference.NEVER)
    return render(request, "pages/unsubscribe.html", {"done": request.method == "POST"})


def _render_page(
    request: UserRequest, *, status: int = 200, typed: QueryDict | None = None, **more: Any
) -> HttpResponse:
    """Render the page of notifications. `typed` is a refused form of a new endpoint, which is shown again."""
    chosen = endpoints.DEFAULT_TYPES if typed is None else typed.getlist("types")
    deliveries = WebhookDelivery.objects.visible_to(request.user).select_related("endpoint")
    context = {
        "subscriber": Subscriber.objects.filter(account__user=request.user).first(),
        "choices": Subscriber.EmailPreference.choices,
        "retention": Retention.objects.filter(account__user=request.user).first(),
        "endpoints": WebhookEndpoint.objects.visible_to(request.user),
        "types": [(kind.value, label, kind in chosen) for kind, label in TYPE_LABELS.items()],
        "typed": typed or {},
        "page": pagination.newest(deliveries, before=request.GET.get("before")),
        **more,
    }
    return render(request, "pages/notifications.html", context, status=status)


def _read_endpoint_form(form: QueryDict) -> dict[str, Any]:
    """Return the arguments of `endpoints.create`. Raises EndpointError for a form that is not filled in correctly."""
    threshold = form.get("credits_low_at", "").strip()
    # At most ten digits, because int() of a very long string raises an error of its own.
    if threshold and not (re.fullmatch("[0-9]{1,10}", threshold) and 1 <= int(threshold) <= CREDITS_MAX):
        raise EndpointError(f"The threshold is a whole number of credits from 1 to {CREDITS_MAX:,}.")
    chosen = [kind.value for kind in TYPE_LABELS if kind in form.getlist("types")]
    if not chosen:
        raise EndpointError("Choose at least one event.")
    return {
        "url": form.get("url", "").strip(),
        "types": chosen,
        "credits_low_at": int(threshold) if threshold else None,
    }


def _subscriber(request: UserRequest) -> Subscriber:
    return endpoints.subscriber_of(Account.objects.for_user(request.user))


def _find_delivery(request: UserRequest, delivery_id: UUID) -> WebhookDelivery:
    deliveries = WebhookDelivery.objects.visible_to(request.user).select_related("endpoint").prefetch_related("log")
    return get_object_or_404(deliveries, pk=delivery_id)
