"""Generations in the admin, with their submissions, outputs, input files and timeline.

Staff find a generation by whatever a customer may quote, and can cancel it or have fal asked for its status.
"""

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
from django.utils.timesince import timesince

from credits.read_only_admin import ReadOnlyAdmin, ReadOnlyInline, has_permission, staff_actor
from generations import services
from generations.admin.provider import without_query_strings
from generations.admin.uploads import InputFileInline
from generations.catalogue import MODELS
from generations.models import CancelledBy, Event, Generation, Output, ProviderCallback, Submission
from generations.workers import tasks

# Signed URLs among the arguments. Unlike in other texts, a prompt there may contain question marks of its own.
SIGNED_URL = re.compile(r"(https?://[^\s\"?]+)\?[^\s\"]*")


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
        return without_query_strings(output.source_url)


class EventInline(ReadOnlyInline):
    model = Event
    fields = ("at", "fact", "actor", "phase", "version", "held_change", "balance_change", "note", "staff_note")

    @admin.display(description="at")
    def at(self, event: Event) -> str:
        return f"{event.created_at:%Y-%m-%d %H:%M:%S}"


class ModelFilter(admin.SimpleListFilter):
    """Filters by model. The choices come from the catalogue, since a query for distinct models reads every row."""

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
    # Django shows the search box only if this is set; get_search_results decides what is searched.
    search_fields = ("id",)
    search_help_text = "Id, request id of fal, user name, e-mail address, or words of the prompt"
    # The key begins with the time, so its index gives the newest first.
    ordering = ("-id",)
    actions = ("cancel", "ask_fal")
    inlines = (SubmissionInline, OutputInline, InputFileInline, EventInline)
    change_form_template = "admin/generations/generation/change_form.html"
    fieldsets = (
        (None, {"fields": ("id", "account", "model", "endpoint", "kind", "state", "version", "message")}),
        ("Order", {"fields": ("input", "preset", "metadata", "sent", "retry_of", "idempotency_key", "api_key")}),
        ("Money", {"fields": ("credits", "captured", "released", "files_expected", "list_price_millidollars")}),
        ("Result", {"fields": ("details",)}),
        ("Failure", {"fields": ("failure_code", "failure_message", "failure_errors", "retryable")}),
        ("fal", {"fields": ("queue_position", "callbacks", "next_attempt_at", "attempts", "crashes", "leased_until")}),
        ("Times", {"fields": ("created_at", "submitted_at", "answered_at", "finished_at", "deadline_at")}),
        ("Cancellation", {"fields": ("cancel_asked_at", "cancel_asked_by", "cancel_sent_at")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by whatever a customer may quote: an id, a name, an e-mail address or words of the prompt."""
        term = search_term.strip()
        if not term:
            return queryset, False
        matches = Q(pk__in=Submission.objects.filter(request_id=term).values("generation"))
        try:
            matches |= Q(pk=UUID(term))
        except ValueError:
            # Only for texts: ids are found by an index, but a search of the prompts reads every row.
            matches |= Q(account__user__username__iexact=term) | Q(account__user__email__iexact=term)
            matches |= Q(input__prompt__icontains=term)
        return queryset.filter(matches), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the buttons of the actions to staff with the permission."""
        context = {**(extra_context or {}), "can_act": self.has_act_permission(request)}
        return super().change_view(request, object_id, form_url, context)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return has_permission(request, "generations.change_generation")

    @admin.display(description="id", ordering="id")
    def short_id(self, generation: Generation) -> str:
        # A UUIDv7 begins with the time, so the beginning of all ids of one minute is much the same.
        return generation.pk.hex[-8:]

    @admin.display(description="user", ordering="account__user__username")
    def user(self, generation: Generation) -> str:
        return str(generation.account)

    @admin.display(description="status", ordering="status")
    def state(self, generation: Generation) -> str:
        detail = generation.failure_code if generation.is_done else generation.phase
        text = f"{generation.status} · {detail}" if detail else generation.status
        return format_html('<span class="badge {}">{}</span>', generation.status, text)

    @admin.display(description="age", ordering="created_at")
    def age(self, generation: Generation) -> str:
        return timesince(generation.created_at, depth=1)

    @admin.display(description="arguments")
    def sent(self, generation: Generation) -> str:
        return SIGNED_URL.sub(r"\1?…", json.dumps(generation.arguments, ensure_ascii=False))

    @admin.display(description="callbacks")
    def callbacks(self, generation: Generation) -> str:
        # Without the bodies, which can be megabytes each.
        rows = ProviderCallback.objects.filter(submission__generation=generation).order_by("id").defer("body")
        links = [
            (
                reverse("admin:generations_providercallback_change", args=[row.pk]),
                f"{row.outcome} {row.received_at:%H:%M:%S}",
            )
            for row in rows
        ]
        return format_html_join(", ", '<a href="{}">{}</a>', links)

    @admin.action(description="Cancel", permissions=["act"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        # One by one: each generation is locked for itself, and each may answer differently.
        for generation in queryset:
            answer = services.cancel(generation, by=CancelledBy.STAFF, actor=staff_actor(request))
            self.log_change(request, generation, f"Cancel: {answer}")
            messages.info(request, f"{generation}: {answer}")

    @admin.action(description="Ask fal for the status now", permissions=["act"])
    def ask_fal(self, request: HttpRequest, queryset: QuerySet[Generation]) -> None:
        # A queue message is enough: the reconciler decides under its lease whether there is anything to ask.
        generations = list(queryset.in_progress())  # type: ignore[attr-defined]
        for generation in generations:
            tasks.enqueue_reconcile(generation.pk)
        messages.info(
            request, f"fal is asked about {len(generations)} generations. Those that have ended are left out."
        )
