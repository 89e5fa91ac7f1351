"""Serializers of the API: how generations, models, batches, credits and erasures are rendered as JSON.

Only the fields that are named here are published. The class docstrings and `help_text`s are the descriptions in the
OpenAPI document.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Prefetch, Subquery
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers
from rest_framework.reverse import reverse

from credits.models import Account, Entry
from generations import catalogue
from generations.files import signed_urls
from generations.http.openapi import InputErrorSerializer
from generations.lifecycle import charging_rules
from generations.models import (
    Batch,
    Erasure,
    FailureCode,
    Generation,
    GenerationQuerySet,
    InputFile,
    Output,
    Rule,
    Status,
    Submission,
)
from generations.progress import durations


def with_related_rows(generations: GenerationQuerySet) -> GenerationQuerySet:
    """Add what `GenerationSerializer` renders beside the row itself, in two more queries for all rows."""
    # A lost submission may have been repeated: the latest job at fal is the one that is shown.
    accepted = Submission.objects.filter(generation=OuterRef("pk"), request_id__isnull=False).order_by("-number")
    stored = Prefetch("outputs", Output.objects.stored(), to_attr="stored_outputs")
    input_files = Prefetch("input_files", InputFile.objects.select_related("output"))
    return generations.annotate(fal_request_id=Subquery(accepted.values("request_id")[:1])).prefetch_related(
        stored, input_files
    )


class ExpectedOutputSerializer(serializers.Serializer[catalogue.ExpectedFile]):
    role = serializers.CharField(help_text="The location of the file in the provider's answer.")
    content_type = serializers.CharField(source="media_type")


class ModelSerializer(serializers.Serializer[catalogue.Model]):
    """A model that can be ordered."""

    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    kind = serializers.CharField()
    endpoint = serializers.CharField(help_text="The id of the model at fal.")
    input_schema = serializers.DictField(source="schema", help_text="JSON Schema of the input.")
    presets = serializers.DictField(help_text="Named sets of inputs.")
    price = serializers.CharField(
        source="price.description", help_text="How the price is calculated. A quote has the price of an order."
    )
    typical_seconds = serializers.SerializerMethodField(
        help_text="The median duration of recent generations, or an estimate."
    )
    outputs = serializers.SerializerMethodField(help_text="The files of an order with default inputs.")
    unsure = serializers.ListField(
        child=serializers.CharField(), help_text="Facts about the model that its documentation does not confirm."
    )

    def get_typical_seconds(self, model: catalogue.Model) -> int:
        return durations.typical_seconds(model)

    @extend_schema_field(ExpectedOutputSerializer(many=True))
    def get_outputs(self, model: catalogue.Model) -> Any:
        # Without validation, because a required input has no default.
        files: Any = model.expected_files(model.inputs.model_construct())
        return ExpectedOutputSerializer(files, many=True).data


class ModelListSerializer(serializers.Serializer[Any]):
    results = ModelSerializer(many=True)


class QuoteSerializer(serializers.Serializer[Any]):
    credits = serializers.IntegerField()
    basis = serializers.ChoiceField(["exact"], help_text="The order costs exactly this.")
    valid_until = serializers.DateTimeField()


class ProgressSerializer(serializers.Serializer[Generation]):
    queue_position = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField(allow_null=True, help_text="The model's own progress, if it reports it.")
    message = serializers.SerializerMethodField()
    eta_seconds = serializers.SerializerMethodField(help_text="The estimated time until it has ended.")

    def get_message(self, generation: Generation) -> str | None:
        return generation.message or None

    def get_eta_seconds(self, generation: Generation) -> int | None:
        # The model of an old generation may have been removed from the catalogue.
        if generation.is_done or generation.model not in catalogue.MODELS:
            return None
        age = (timezone.now() - generation.created_at).total_seconds()
        # A generation that takes longer than usual is still not about to end: 0 would say so.
        return max(1, durations.typical_seconds(catalogue.find(generation.model)) - int(age))


class OutputSerializer(serializers.ModelSerializer[Output]):
    size = serializers.IntegerField(source="size_bytes", read_only=True, help_text="Bytes.")
    duration = serializers.FloatField(source="duration_seconds", allow_null=True, read_only=True, help_text="Seconds.")
    url = serializers.SerializerMethodField(help_text="Opens without an API key until `url_expires_at`.")
    url_expires_at = serializers.SerializerMethodField()
    content_url = serializers.SerializerMethodField(help_text="A permanent URL that needs authentication.")

    class Meta:
        model = Output
        fields = (
            *("id", "index", "kind", "role", "content_type", "width", "height", "duration", "size", "sha256"),
            *("flagged", "url", "url_expires_at", "content_url"),
        )
        read_only_fields = fields

    def to_representation(self, output: Output) -> dict[str, Any]:
        # Signed once, so that the URL and its expiry belong together.
        self._link = signed_urls.for_reading(output)
        return super().to_representation(output)

    @extend_schema_field(serializers.URLField())
    def get_url(self, output: Output) -> str:
        # The URL of a bucket is absolute already, and stays as it is.
        return str(self.context["request"].build_absolute_uri(self._link.url))

    def get_url_expires_at(self, output: Output) -> datetime:
        return self._link.expires_at

    def get_content_url(self, output: Output) -> str:
        return reverse("api:output-content", args=[output.pk])


class FailureSerializer(serializers.Serializer[Generation]):
    """Why a generation failed, whether a retry may help, and what was charged."""

    code = serializers.ChoiceField(FailureCode.choices, source="failure_code")
    message = serializers.CharField(source="failure_message")
    retryable = serializers.BooleanField()
    charged = serializers.IntegerField(source="captured")
    refunded = serializers.IntegerField(source="released", help_text="The credits of the hold that were released.")
    errors = InputErrorSerializer(many=True, source="failure_errors")  # type: ignore[assignment]  # a name of the public JSON


class GenerationCreditsSerializer(serializers.Serializer[Generation]):
    quoted = serializers.IntegerField(source="credits")
    held = serializers.SerializerMethodField()
    captured = serializers.IntegerField()
    released = serializers.IntegerField()
    rule = serializers.ChoiceField(
        Rule.choices, allow_null=True, help_text="The charging rule that decided what was charged."
    )
    why = serializers.SerializerMethodField(help_text="The charging rule in a sentence.")

    def to_representation(self, generation: Generation) -> dict[str, Any]:
        # The column is empty until the generation has ended; the JSON has null.
        return super().to_representation(generation) | {"rule": generation.rule or None}

    def get_why(self, generation: Generation) -> str | None:
        return charging_rules.TABLE[Rule(generation.rule)].because if generation.rule else None

    def get_held(self, generation: Generation) -> int:
        # A generation settles its hold in the transaction that ends it.
        return 0 if generation.is_done else generation.credits


_URL_NAMES = {
    "self": "api:generation",
    "cancel": "api:generation-cancel",
    "events": "api:generation-events",
    "stream": "api:generation-stream",
    "page": "generation",
}


class SourceSerializer(serializers.ModelSerializer[InputFile]):
    """An input file that is one of your uploads or outputs."""

    upload = serializers.UUIDField(source="upload_id", allow_null=True)
    output = serializers.UUIDField(source="output_id", allow_null=True)
    generation = serializers.UUIDField(
        source="output.generation_id", allow_null=True, default=None, help_text="The generation of that output."
    )

    class Meta:
        model = InputFile
        fields = ("path", "upload", "output", "generation")
        read_only_fields = fields


class GenerationSerializer(serializers.ModelSerializer[Generation]):
    """A generation: the order, its progress and its results."""

    input = serializers.DictField(help_text="The input as it was sent.")
    metadata = serializers.DictField(child=serializers.CharField())
    progress = ProgressSerializer(source="*")
    outputs = OutputSerializer(many=True, source="stored_outputs", help_text="The files that are in storage.")
    details = serializers.DictField(help_text="What the model returned beside its files, such as the seed.")
    error = serializers.SerializerMethodField()
    credits = GenerationCreditsSerializer(source="*")
    fal_request_id = serializers.CharField(allow_null=True)
    batch = serializers.UUIDField(source="batch_id", allow_null=True, help_text="The batch that it belongs to.")
    retry_of = serializers.UUIDField(source="retry_of_id", allow_null=True)
    sources = SourceSerializer(
        many=True, source="input_files", help_text="The input files that are uploads or outputs of Limn."
    )
    parent = serializers.SerializerMethodField(  # type: ignore[assignment]  # DRF's word for something else
        help_text="The generation whose output is an input file of this one. The first, if there are several."
    )
    urls = serializers.SerializerMethodField()

    class Meta:
        model = Generation
        fields = (
            *("id", "model", "kind", "status", "phase", "version", "input", "metadata", "progress", "outputs"),
            *("details", "error", "credits", "fal_request_id", "batch", "retry_of", "sources", "parent"),
            *("idempotency_key", "created_at", "submitted_at", "answered_at", "finished_at", "erased_at", "urls"),
        )
        read_only_fields = fields

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_parent(self, generation: Generation) -> UUID | None:
        return next((file.output.generation_id for file in generation.input_files.all() if file.output), None)

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_error(self, generation: Generation) -> Any:
        return FailureSerializer(generation).data if generation.status == Status.FAILED else None

    @extend_schema_field(inline_serializer("GenerationUrls", {key: serializers.URLField() for key in _URL_NAMES}))
    def get_urls(self, generation: Generation) -> dict[str, str]:
        return {
            key: reverse(name, args=[generation.pk], request=self.context["request"])
            for key, name in _URL_NAMES.items()
        }


class CreditsSerializer(serializers.ModelSerializer[Account]):
    available = serializers.IntegerField(help_text="balance - held")

    class Meta:
        model = Account
        fields = ("balance", "held", "available")
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """A ledger entry. `balance_change` changes the balance; `held_change` changes the part of it that is held."""

    generation = serializers.SerializerMethodField(help_text="The generation that was paid for.")

    class Meta:
        model = Entry
        fields = ("kind", "balance_change", "held_change", "generation", "reason", "created_at")
        read_only_fields = fields

    def get_generation(self, entry: Entry) -> UUID | None:
        # Grants and adjustments have no hold. The reference of a hold is "generation:<id>".
        kind, _, key = entry.hold.reference.partition(":") if entry.hold else ("", "", "")
        return UUID(key) if kind == "generation" else None


class BatchProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    percent = serializers.IntegerField(help_text="The share of the generations that have ended.")


class BatchSummarySerializer(serializers.ModelSerializer[Batch]):
    """Generations that were ordered together, as totals."""

    status = serializers.SerializerMethodField(
        help_text="`completed` when all have ended and at least one is completed."
    )
    progress = serializers.SerializerMethodField()
    credits = serializers.SerializerMethodField(help_text="The totals of all generations.")

    class Meta:
        model = Batch
        fields: tuple[str, ...] = ("id", "purpose", "status", "progress", "credits", "notify", "created_at")
        read_only_fields = fields

    # The methods read the prefetched generations: a list of batches takes two queries, however many generations it has.

    @extend_schema_field(serializers.ChoiceField(Status.choices))
    def get_status(self, batch: Batch) -> str:
        statuses = {generation.status for generation in batch.generations.all()}
        if not statuses <= {Status.COMPLETED, Status.FAILED}:
            return Status.PENDING if statuses == {Status.PENDING} else Status.PROCESSING
        return Status.COMPLETED if Status.COMPLETED in statuses else Status.FAILED

    @extend_schema_field(BatchProgressSerializer)
    def get_progress(self, batch: Batch) -> dict[str, int]:
        statuses = [generation.status for generation in batch.generations.all()]
        completed, failed = statuses.count(Status.COMPLETED), statuses.count(Status.FAILED)
        percent = 100 * (completed + failed) // len(statuses)
        return {"total": len(statuses), "completed": completed, "failed": failed, "percent": percent}

    @extend_schema_field(
        inline_serializer(
            "BatchCredits", {key: serializers.IntegerField() for key in ("quoted", "held", "captured", "released")}
        )
    )
    def get_credits(self, batch: Batch) -> dict[str, int]:
        generations = list(batch.generations.all())
        return {
            "quoted": sum(generation.credits for generation in generations),
            "held": sum(generation.credits for generation in generations if not generation.is_done),
            "captured": sum(generation.captured for generation in generations),
            "released": sum(generation.released for generation in generations),
        }


class BatchSerializer(BatchSummarySerializer):
    """Generations that were ordered together, each with its current state."""

    generations = GenerationSerializer(many=True)

    class Meta(BatchSummarySerializer.Meta):
        fields = (*BatchSummarySerializer.Meta.fields, "generations")
        read_only_fields = fields


class ErasedFileSerializer(serializers.Serializer[Any]):
    output = serializers.UUIDField()
    role = serializers.CharField()
    size = serializers.IntegerField()
    sha256 = serializers.CharField()


class ErasureSerializer(serializers.ModelSerializer[Erasure]):
    """The receipt of an erasure. The price of the generation remains in your statement."""

    generation = serializers.UUIDField(source="generation_id")
    files = ErasedFileSerializer(many=True, help_text="The files that were in storage.")
    done_at = serializers.DateTimeField(allow_null=True, help_text="When the files had been deleted.")
    provider_copy = serializers.ChoiceField(
        choices=["", *Erasure.ProviderCopy.values],
        help_text="The provider's copy: `none` (it had none), `deleted`, or `kept` (it expires after some weeks; the "
        "operator has no key that may delete it). Empty until the erasure is done.",
    )

    class Meta:
        model = Erasure
        fields = ("id", "generation", "asked_at", "done_at", "provider_copy", "files")
        read_only_fields = fields


class RetentionSerializer(serializers.Serializer[Any]):
    """How long your generations and uploads are kept."""

    days = serializers.IntegerField(
        allow_null=True,
        help_text="Generations are erased this many days after they end, uploads this many days after they were "
        "created. null: they are kept.",
    )
