"""Serializers of the API: how generations, models, batches, credits and erasures are rendered as JSON.

Only the fields that are named here are published. The class docstrings and `help_text`s are the descriptions in the
OpenAPI document.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from credits.models import Account, Entry
from generations import catalogue
from generations.api.representation import URL_NAMES, Links, represent_found
from generations.http.openapi import InputErrorSerializer
from generations.models import (
    Batch,
    Erasure,
    FailureCode,
    Generation,
    InputFile,
    Output,
    Rule,
    Status,
)
from generations.progress import durations


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


# --- Generations: these only describe the JSON in the OpenAPI document, and `representation` renders it ---


class ProgressSerializer(serializers.Serializer[Generation]):
    queue_position = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField(allow_null=True, help_text="The model's own progress, if it reports it.")
    message = serializers.CharField(allow_null=True, read_only=True)
    eta_seconds = serializers.IntegerField(
        allow_null=True, read_only=True, help_text="The estimated time until it has ended."
    )


class OutputSerializer(serializers.ModelSerializer[Output]):
    size = serializers.IntegerField(read_only=True, help_text="Bytes.")
    duration = serializers.FloatField(allow_null=True, read_only=True, help_text="Seconds.")
    url = serializers.URLField(read_only=True, help_text="Opens without an API key until `url_expires_at`.")
    url_expires_at = serializers.DateTimeField(read_only=True)
    content_url = serializers.CharField(read_only=True, help_text="A permanent URL that needs authentication.")

    class Meta:
        model = Output
        fields = (
            *("id", "index", "kind", "role", "content_type", "width", "height", "duration", "size", "sha256"),
            *("flagged", "url", "url_expires_at", "content_url"),
        )
        read_only_fields = fields


class FailureSerializer(serializers.Serializer[Generation]):
    """Why a generation failed, whether a retry may help, and what was charged."""

    code = serializers.ChoiceField(FailureCode.choices)
    message = serializers.CharField()
    retryable = serializers.BooleanField()
    charged = serializers.IntegerField()
    refunded = serializers.IntegerField(help_text="The credits of the hold that were released.")
    errors = InputErrorSerializer(many=True)  # type: ignore[assignment]  # a name of the public JSON


class GenerationCreditsSerializer(serializers.Serializer[Generation]):
    quoted = serializers.IntegerField()
    held = serializers.IntegerField(read_only=True)
    captured = serializers.IntegerField()
    released = serializers.IntegerField()
    rule = serializers.ChoiceField(
        Rule.choices, allow_null=True, help_text="The charging rule that decided what was charged."
    )
    why = serializers.CharField(allow_null=True, read_only=True, help_text="The charging rule in a sentence.")


class SourceSerializer(serializers.ModelSerializer[InputFile]):
    """An input file that is one of your uploads or outputs."""

    upload = serializers.UUIDField(allow_null=True)
    output = serializers.UUIDField(allow_null=True)
    generation = serializers.UUIDField(allow_null=True, default=None, help_text="The generation of that output.")

    class Meta:
        model = InputFile
        fields = ("path", "upload", "output", "generation")
        read_only_fields = fields


class GenerationSerializer(serializers.ModelSerializer[Generation]):
    """A generation: the order, its progress and its results."""

    input = serializers.DictField(help_text="The input as it was sent.")
    metadata = serializers.DictField(child=serializers.CharField())
    progress = ProgressSerializer()
    outputs = OutputSerializer(many=True, help_text="The files that are in storage.")
    details = serializers.DictField(help_text="What the model returned beside its files, such as the seed.")
    error = FailureSerializer(allow_null=True, read_only=True)
    credits = GenerationCreditsSerializer()
    fal_request_id = serializers.CharField(allow_null=True)
    batch = serializers.UUIDField(allow_null=True, help_text="The batch that it belongs to.")
    retry_of = serializers.UUIDField(
        allow_null=True, help_text="The generation that this one repeats, as a retry or ordered again."
    )
    sources = SourceSerializer(many=True, help_text="The input files that are uploads or outputs of Limn.")
    parent = serializers.UUIDField(  # type: ignore[assignment]  # DRF's word for something else
        allow_null=True,
        read_only=True,
        help_text="The generation whose output is an input file of this one. The first, if there are several.",
    )
    urls = inline_serializer("GenerationUrls", {name: serializers.URLField() for name in URL_NAMES}, read_only=True)

    class Meta:
        model = Generation
        fields = (
            *("id", "model", "kind", "status", "phase", "version", "input", "metadata", "progress", "outputs"),
            *("details", "error", "credits", "fal_request_id", "batch", "retry_of", "sources", "parent"),
            *("idempotency_key", "created_at", "submitted_at", "answered_at", "finished_at", "erased_at", "urls"),
        )
        read_only_fields = fields


# --- Everything else ---


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

    def to_representation(self, batch: Batch) -> dict[str, Any]:
        links = Links.of(self.context["request"])
        generations = [represent_found(generation, links=links) for generation in batch.generations.all()]
        return {**BatchSummarySerializer(batch).data, "generations": generations}


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
