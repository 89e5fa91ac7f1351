"""Communication with fal in the admin: submissions, callbacks, the pinned account and the circuit breaker."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html

from credits.read_only_admin import ReadOnlyAdmin, has_permission
from generations.models import CircuitBreaker, FalAccount, ProviderCallback, Submission
from generations.provider import circuit_breaker

BODY_CHARACTERS_SHOWN = 10_000
QUERY_STRING = re.compile(r"\?[^\s\"'<>]*")


def without_query_strings(text: str) -> str:
    """Return the text with the query string of each URL replaced by "?…".

    fal's URLs may be signed, and a signature gives access to the file as long as it is valid.
    """
    return QUERY_STRING.sub("?…", text)


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    list_display = ("request_id", "generation", "number", "state", "created_at", "sent_at", "answered_at")
    list_select_related = ("generation",)
    list_filter = ("state",)
    search_fields = ("=request_id",)
    ordering = ("-id",)
    # The token is half of what makes a callback credible; the other half is fal's signature.
    exclude = ("token",)


@admin.register(ProviderCallback)
class ProviderCallbackAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "request_id", "outcome", "repeats", "submission_number")
    list_select_related = ("submission",)
    list_filter = ("outcome",)
    # First by the submission, because an index finds it. Only callbacks without a submission need the second search.
    search_fields = ("=submission__request_id", "=request_id")
    ordering = ("-id",)
    fields = ("submission", "request_id", "outcome", "repeats", "received_at", "body_sha256", "body_text")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        callbacks = super().get_queryset(request)
        # The list does not show the bodies, and should not read fifty of them.
        is_detail = request.resolver_match and "object_id" in request.resolver_match.kwargs
        return callbacks if is_detail else callbacks.defer("body")

    @admin.display(description="submission")
    def submission_number(self, callback: ProviderCallback) -> str:
        return str(callback.submission or "–")

    @admin.display(description="body")
    def body_text(self, callback: ProviderCallback) -> str:
        # A character takes at most four bytes in UTF-8.
        text = bytes(callback.body[: BODY_CHARACTERS_SHOWN * 4]).decode(errors="replace")
        return format_html("<pre>{}</pre>", without_query_strings(text[:BODY_CHARACTERS_SHOWN]))


@admin.register(FalAccount)
class FalAccountAdmin(ReadOnlyAdmin):
    list_display = ("user_id", "pinned_at", "pinned_by")
    list_select_related = ("pinned_by",)


@admin.register(CircuitBreaker)
class CircuitBreakerAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "opened_at", "reason", "probed_at")
    actions = ("close",)

    def has_close_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "generations.change_circuitbreaker")

    @admin.action(description="Close: submit to fal again", permissions=["close"])
    def close(self, request: HttpRequest, queryset: QuerySet[CircuitBreaker]) -> None:
        # A breaker that is closed already gets no line in the log.
        for row in queryset.filter(opened_at__isnull=False):
            self.log_change(request, row, "Closed")
        circuit_breaker.reset()
        messages.success(request, "Submissions to fal continue. If fal still rejects them, the breaker opens again.")
