"""How things look from outside. Only what is named here leaves the house."""

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


def presented(generations: GenerationQuerySet) -> GenerationQuerySet:
    """With all that a generation shows: three queries, however many there are."""
    accepted = Submission.objects.filter(generation=OuterRef("pk"), request_id__isnull=False).order_by("-number")
    stored = Prefetch("outputs", Output.objects.stored(), to_attr="stored_outputs")
    input_files = Prefetch("input_files", InputFile.objects.select_related("output"))
    return generations.annotate(fal_request_id=Subquery(accepted.values("request_id")[:1])).prefetch_related(
        stored, input_files
    )


class ExpectedOutputSerializer(serializers.Serializer[catalogue.ExpectedFile]):
    role = serializers.CharField(help_text="Its place in the provider's answer.")
    content_type = serializers.CharField(source="media_type")


class ModelSerializer(serializers.Serializer[catalogue.Model]):
    """Something that can be ordered."""

    slug = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    kind = serializers.CharField()
    endpoint = serializers.CharField(help_text="fal's name for it.")
    input_schema = serializers.DictField(source="schema", help_text="JSON Schema of the input.")
    presets = serializers.DictField(help_text="Named sets of inputs.")
    price = serializers.CharField(source="price.description", help_text="The formula in words; a quote has the number.")
    typical_seconds = serializers.SerializerMethodField(help_text="By our own history, once there is one.")
    outputs = serializers.SerializerMethodField(help_text="The files it makes when no input changes them.")
    unsure = serializers.ListField(child=serializers.CharField(), help_text="What we know from hearsay only.")

    def get_typical_seconds(self, model: catalogue.Model) -> int:
        return durations.seconds(model)

    @extend_schema_field(ExpectedOutputSerializer(many=True))
    def get_outputs(self, model: catalogue.Model) -> Any:
        files: Any = model.expected_files(model.inputs.model_construct())
        return ExpectedOutputSerializer(files, many=True).data


class ModelListSerializer(serializers.Serializer[Any]):
    results = ModelSerializer(many=True)


class QuoteSerializer(serializers.Serializer[Any]):
    credits = serializers.IntegerField()
    basis = serializers.ChoiceField(["exact"], help_text="An order like this costs exactly so much.")
    valid_until = serializers.DateTimeField()


class ProgressSerializer(serializers.Serializer[Generation]):
    queue_position = serializers.IntegerField(allow_null=True)
    percent = serializers.IntegerField(allow_null=True, help_text="Where the model tells it; fal's queue does not.")
    message = serializers.SerializerMethodField()
    eta_seconds = serializers.SerializerMethodField(help_text="By what such a model usually takes.")

    def get_message(self, generation: Generation) -> str | None:
        return generation.message or None

    def get_eta_seconds(self, generation: Generation) -> int | None:
        if generation.is_done or generation.model not in catalogue.MODELS:
            return None
        age = (timezone.now() - generation.created_at).total_seconds()
        return max(1, durations.seconds(catalogue.find(generation.model)) - int(age))


class OutputSerializer(serializers.ModelSerializer[Output]):
    size = serializers.IntegerField(source="size_bytes", read_only=True, help_text="Bytes.")
    duration = serializers.FloatField(source="duration_seconds", allow_null=True, read_only=True, help_text="Seconds.")
    url = serializers.SerializerMethodField(help_text="Opens without a key until `url_expires_at`.")
    url_expires_at = serializers.SerializerMethodField()
    content_url = serializers.SerializerMethodField(help_text="A permanent address, for its owner.")

    class Meta:
        model = Output
        fields = (
            *("id", "index", "kind", "role", "content_type", "width", "height", "duration", "size", "sha256"),
            *("flagged", "url", "url_expires_at", "content_url"),
        )
        read_only_fields = fields

    def to_representation(self, output: Output) -> dict[str, Any]:
        self._link = signed_urls.to(output)
        return super().to_representation(output)

    @extend_schema_field(serializers.URLField())
    def get_url(self, output: Output) -> str:
        return self._link.url if "://" in self._link.url else self._absolute(self._link.url)

    def get_url_expires_at(self, output: Output) -> datetime:
        return self._link.expires_at

    def get_content_url(self, output: Output) -> str:
        return reverse("api:output-content", args=[output.pk])

    def _absolute(self, path: str) -> str:
        return str(self.context["request"].build_absolute_uri(path))


class FailureSerializer(serializers.Serializer[Generation]):
    """What happened, whose fault it was, whether to try again, and what it cost."""

    code = serializers.ChoiceField(FailureCode.choices, source="failure_code")
    message = serializers.CharField(source="failure_message")
    retryable = serializers.BooleanField()
    charged = serializers.IntegerField(source="captured")
    refunded = serializers.IntegerField(source="released")
    errors = InputErrorSerializer(many=True, source="failure_errors")  # type: ignore[assignment]  # the name is the contract's


class GenerationCreditsSerializer(serializers.Serializer[Generation]):
    quoted = serializers.IntegerField(source="credits")
    held = serializers.SerializerMethodField()
    captured = serializers.IntegerField()
    released = serializers.IntegerField()
    rule = serializers.ChoiceField(Rule.choices, allow_null=True, help_text="Which row of the rule table settled it.")
    why = serializers.SerializerMethodField(help_text="That rule in a sentence.")

    def to_representation(self, generation: Generation) -> dict[str, Any]:
        return super().to_representation(generation) | {"rule": generation.rule or None}

    def get_why(self, generation: Generation) -> str | None:
        return charging_rules.TABLE[Rule(generation.rule)].because if generation.rule else None

    def get_held(self, generation: Generation) -> int:
        return 0 if generation.is_done else generation.credits


_ADDRESSES = {
    "self": "api:generation",
    "cancel": "api:generation-cancel",
    "events": "api:generation-events",
    "stream": "api:generation-stream",
    "page": "generation",
}


class SourceSerializer(serializers.ModelSerializer[InputFile]):
    """A file of yours that it works on, and where in the input that stands."""

    upload = serializers.UUIDField(source="upload_id", allow_null=True)
    output = serializers.UUIDField(source="output_id", allow_null=True)
    generation = serializers.UUIDField(
        source="output.generation_id", allow_null=True, default=None, help_text="Which made that output."
    )

    class Meta:
        model = InputFile
        fields = ("path", "upload", "output", "generation")
        read_only_fields = fields


class GenerationSerializer(serializers.ModelSerializer[Generation]):
    """A wish, and what became of it."""

    input = serializers.DictField(help_text="As you sent it.")
    metadata = serializers.DictField(child=serializers.CharField())
    progress = ProgressSerializer(source="*")
    outputs = OutputSerializer(many=True, source="stored_outputs", help_text="Those that lie in storage.")
    details = serializers.DictField(help_text="What the model said beside its files: the seed it used, a description …")
    error = serializers.SerializerMethodField()
    credits = GenerationCreditsSerializer(source="*")
    fal_request_id = serializers.CharField(allow_null=True)
    batch = serializers.UUIDField(source="batch_id", allow_null=True, help_text="What it was ordered together with.")
    retry_of = serializers.UUIDField(source="retry_of_id", allow_null=True)
    sources = SourceSerializer(many=True, source="input_files", help_text="Those of its files that lie with us.")
    parent = serializers.SerializerMethodField(  # type: ignore[assignment]  # DRF's word for something else
        help_text="Whose output it works on; of several the first."
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

    @extend_schema_field(inline_serializer("GenerationUrls", {word: serializers.URLField() for word in _ADDRESSES}))
    def get_urls(self, generation: Generation) -> dict[str, str]:
        return {
            word: reverse(name, args=[generation.pk], request=self.context["request"])
            for word, name in _ADDRESSES.items()
        }


class CreditsSerializer(serializers.ModelSerializer[Account]):
    available = serializers.IntegerField(help_text="balance - held")

    class Meta:
        model = Account
        fields = ("balance", "held", "available")
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """A posting. `balance_change` is what came or went; `held_change` what was set aside or given free."""

    generation = serializers.SerializerMethodField(help_text="What it was for.")

    class Meta:
        model = Entry
        fields = ("kind", "balance_change", "held_change", "generation", "reason", "created_at")
        read_only_fields = fields

    def get_generation(self, entry: Entry) -> UUID | None:
        kind, _, name = entry.hold.reference.partition(":") if entry.hold else ("", "", "")
        return UUID(name) if kind == "generation" else None


class BatchProgressSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    percent = serializers.IntegerField(help_text="How many of them have ended.")


class BatchSummarySerializer(serializers.ModelSerializer[Batch]):
    """Generations that were ordered together, in sums."""

    status = serializers.SerializerMethodField(help_text="completed when all have ended and one of them was made.")
    progress = serializers.SerializerMethodField()
    credits = serializers.SerializerMethodField(help_text="Of all of them together.")

    class Meta:
        model = Batch
        fields: tuple[str, ...] = ("id", "purpose", "status", "progress", "credits", "notify", "created_at")
        read_only_fields = fields

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
            "BatchCredits", {word: serializers.IntegerField() for word in ("quoted", "held", "captured", "released")}
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
    """Generations that were ordered together, each as it stands."""

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
    """The receipt. What it cost stays in your statement."""

    generation = serializers.UUIDField(source="generation_id")
    files = ErasedFileSerializer(many=True, help_text="What lay in storage.")
    done_at = serializers.DateTimeField(allow_null=True, help_text="Since when the files too are gone.")
    provider_copy = serializers.ChoiceField(
        choices=["", *Erasure.ProviderCopy.values],
        help_text="What became of what the provider kept: `none` (it kept nothing), `deleted`, or `kept` (for some "
        "weeks: the operator has no key that may delete it). Empty until it is done.",
    )

    class Meta:
        model = Erasure
        fields = ("id", "generation", "asked_at", "done_at", "provider_copy", "files")
        read_only_fields = fields


class RetentionSerializer(serializers.Serializer[Any]):
    """How long your generations are kept."""

    days = serializers.IntegerField(
        allow_null=True, help_text="They are erased so many days after their end. null: they are kept."
    )
