"""Generations in the admin: everything to look at, nothing to edit; two actions, and keys to revoke."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from credits.read_only_admin import ReadOnlyAdmin, ReadOnlyInline, has_permission, staff_actor
from generations import lifecycle
from generations.admin import uploads
from generations.catalogue import MODELS
from generations.models import (
    CancelledBy,
    CircuitBreaker,
    Event,
    FalAccount,
    Generation,
    Heartbeat,
    OrderIntake,
    Output,
    ProviderCallback,
    Submission,
)
from generations.ordering import order_intake
from generations.provider import circuit_breaker
from generations.workers import tasks

BODY_CHARACTERS_SHOWN = 10_000
# fal's addresses may carry a signature, which is as good as a key while it lasts.
QUERY = re.compile(r"\?[^\s\"'<>]*")
# In what fal is sent they stand among words, which may hold question marks of their own.
SIGNED = re.compile(r"(https?://[^\s\"?]+)\?[^\s\"]*")


def without_query(text: str) -> str:
    return QUERY.sub("?…", text)


def link_to(row: Any, words: str = "") -> SafeString:
    address = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', address, words or str(row))


class SubmissionInline(ReadOnlyInline):
    model = Submission
    fields = ("number", "state", "request_id", "detail", "sent_at", "answered_at", "billable_units", "billed_dollars")
    show_change_link = True


class OutputInline(ReadOnlyInline):
    model = Output
    fields = (
        "index",
        "role",
        "state",
        "content_type",
        "size_bytes",
        "sha256",
        "counts",
        "flagged",
        "source",
        "key",
        "attempts",
        "crashes",
        "misses",
        "give_up_at",
        "detail",
    )

    @admin.display(description="source")
    def source(self, output: Output) -> str:
        return without_query(output.source_url)


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("at", "fact", "actor", "phase", "version", "held_change", "balance_change", "note", "staff_note")

    @admin.display(description="at")
    def at(self, event: Event) -> str:
        return f"{event.created_at:%Y-%m-%d %H:%M:%S}"


class ModelFilter(admin.SimpleListFilter):
    """From the catalogue: asking the table for its distinct models would read all of it."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, model.title) for slug, model in MODELS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(model=self.value()) if self.value() else queryset


@admin.register(Generation)
class GenerationAdmin(ReadOnlyAdmin):
    list_display = ("short_id", "user", "model", "state", "credits", "age")
    list_select_related = ("account__user",)
    list_filter = ("status", "phase", ModelFilter, "failure_code")
    search_fields = ("id",)  # What a search looks at is in get_search_results.
    search_help_text = "Id, fal’s request id, user, e-mail address, or words of the prompt"
    ordering = ("-id",)
    actions = ("cancel", "ask_fal")
    inlines = (SubmissionInline, OutputInline, uploads.SourceInline, EventInline)
    change_form_template = "admin/generations/generation/change_form.html"
    fieldsets = (
        (None, {"fields": ("id", "account", "model", "endpoint", "kind", "state", "version", "message")}),
        ("Order", {"fields": ("input", "preset", "metadata", "sent", "retry_of", "idempotency_key", "api_key")}),
        ("Money", {"fields": ("credits", "captured", "released", "files_expected", "list_price_millidollars")}),
        ("Result", {"fields": ("details",)}),
        ("Failure", {"fields": ("failure_code", "failure_message", "failure_errors", "retryable")}),
        ("fal", {"fields": ("queue_position", "callbacks", "next_attempt_at", "attempts", "crashes", "leased_until")}),
        ("When", {"fields": ("created_at", "submitted_at", "answered_at", "finished_at", "deadline_at")}),
        ("Cancelling", {"fields": ("cancel_asked_at", "cancel_asked_by", "cancel_sent_at")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(_matching(term)) if term else queryset), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_steer": self.has_steer_permission(request)}
        return super().change_view(request, object_id, form_url, context)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "generations.change_generation")

    @admin.display(description="id", ordering="id")
    def short_id(self, generation: Generation) -> str:
        # The beginning of a UUIDv7 is the time, and much the same for all of a minute.
        return generation.pk.hex[-8:]

    @admin.display(description="user", ordering="account__user__username")
    def user(self, generation: Generation) -> str:
        return str(generation.account)

    @admin.display(description="status", ordering="status")
    def state(self, generation: Generation) -> str:
        detail = generation.failure_code if generation.is_done else generation.phase
        words = f"{generation.status} · {detail}" if detail else generation.status
        return format_html('<span class="badge {}">{}</span>', generation.status, words)

    @admin.display(description="age", ordering="created_at")
    def age(self, generation: Generation) -> str:
        return timesince(generation.created_at, depth=1)

    @admin.display(description="arguments")
    def sent(self, generation: Generation) -> str:
        return SIGNED.sub(r"\1?…", json.dumps(generation.arguments, ensure_ascii=False))

    @admin.display(description="callbacks")
    def callbacks(self, generation: Generation) -> str:
        rows = ProviderCallback.objects.filter(submission__generation=generation).order_by("id").defer("body")
        return format_html_join(
            ", ", "{}", ((link_to(row, f"{row.outcome} {row.received_at:%H:%M:%S}"),) for row in rows)
        )

    @admin.action(description="Cancel", permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        for generation in queryset:
            answer = lifecycle.cancel_asked(generation, by=CancelledBy.STAFF, actor=staff_actor(request))
            self.log_change(request, generation, f"Cancel: {answer}")
            messages.info(request, f"{generation}: {answer}")

    @admin.action(description="Ask fal now", permissions=["steer"])
    def ask_fal(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        asked = list(queryset.in_progress())  # type: ignore[attr-defined]
        for generation in asked:
            tasks.enqueue_reconcile(generation.pk)
        messages.info(request, f"fal is asked about {len(asked)}; what is finished already is left alone.")


def _matching(term: str) -> Q:
    """An id is looked up by its index; words have to be sought row by row."""
    by_request = Q(pk__in=Submission.objects.filter(request_id=term).values("generation"))
    try:
        return Q(pk=UUID(term)) | by_request
    except ValueError:
        by_user = Q(account__user__username__iexact=term) | Q(account__user__email__iexact=term)
        return by_request | by_user | Q(input__prompt__icontains=term)


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    list_display = ("request_id", "generation", "number", "state", "created_at", "sent_at", "answered_at")
    list_select_related = ("generation",)
    list_filter = ("state",)
    search_fields = ("=request_id",)
    ordering = ("-id",)
    exclude = ("token",)  # With it, anybody may pose as fal's callback.

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return super().get_search_results(request, queryset, search_term.strip())


@admin.register(ProviderCallback)
class ProviderCallbackAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "request_id", "outcome", "repeats", "attempt")
    list_select_related = ("submission",)
    list_filter = ("outcome",)
    search_fields = ("=request_id",)
    ordering = ("-id",)
    fields = ("submission", "request_id", "outcome", "repeats", "received_at", "body_sha256", "said")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        # A list of fifty would read fifty bodies.
        return rows if request.resolver_match and "object_id" in request.resolver_match.kwargs else rows.defer("body")

    @admin.display(description="attempt")
    def attempt(self, delivery: ProviderCallback) -> str:
        return str(delivery.submission or "–")

    @admin.display(description="body")
    def said(self, delivery: ProviderCallback) -> str:
        text = bytes(delivery.body[: BODY_CHARACTERS_SHOWN * 4]).decode(errors="replace")
        return format_html("<pre>{}</pre>", without_query(text[:BODY_CHARACTERS_SHOWN]))


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

    @admin.action(description="Mended: order from fal again now", permissions=["close"])
    def close(self, request: HttpRequest, queryset: QuerySet[CircuitBreaker]) -> None:
        for row in queryset.filter(opened_at__isnull=False):
            self.log_change(request, row, "Closed")
        circuit_breaker.reset()
        messages.success(request, "Orders go to fal again. Should it still refuse them, intake stops again by itself.")


@admin.register(OrderIntake)
class OrderIntakeAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "paused_at", "reason")
    actions = ("pause", "resume")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # The switch has to be there to be chosen.
        OrderIntake.objects.get_or_create(id=1)
        return super().changelist_view(request, extra_context)

    def has_switch_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "generations.change_orderintake")

    @admin.action(description="Pause: take no new orders", permissions=["switch"])
    def pause(self, request: HttpRequest, queryset: QuerySet[OrderIntake]) -> None:
        if order_intake.pause(f"by {staff_actor(request)}"):
            self.log_change(request, OrderIntake.objects.get(), "Paused")
        messages.success(request, "No new orders are taken. What is under way goes on.")

    @admin.action(description="Resume: take orders again", permissions=["switch"])
    def resume(self, request: HttpRequest, queryset: QuerySet[OrderIntake]) -> None:
        if order_intake.resume():
            self.log_change(request, OrderIntake.objects.get(), "Resumed")
        messages.success(request, "Orders are taken.")


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("name", "seen_at", "ago")
    ordering = ("name",)

    @admin.display(description="ago")
    def ago(self, heartbeat: Heartbeat) -> str:
        return timesince(heartbeat.seen_at)
