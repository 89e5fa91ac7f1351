"""A generation as the pages show it: its texts, its files, and what its owner can do with it.

The views wrap each generation that they pass to a template in a `GenerationPresenter`. It decides what is shown; the
texts come from `generations.pages.labels`. A list shows 24 generations, so the properties that lists use query nothing;
the others are cached and say what they query.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db.models import Prefetch

from generations import services
from generations.catalogue import MODELS
from generations.catalogue.files import FileRequirements, is_own_file
from generations.errors import DomainError
from generations.models import Generation, InputFile, Output, Status
from generations.ordering import price_book
from generations.ordering.orders import Order
from generations.pages import labels
from generations.pages.details import Detail, describe
from generations.pages.fields import fields_of

# What can be made from an output, by its kind: label, and the slug of the model.
FOLLOW_UPS = {
    "image": (("Edit this", "nano-banana-pro-edit"), ("Make a video", "veo3.1-fast-image")),
    "video": (("Continue this video", "wan-2.7-image"),),
}
STORED_OUTPUTS = Prefetch("outputs", queryset=Output.objects.stored(), to_attr="stored_outputs")
"""For `prefetch_related`: the outputs that a presenter shows."""
# An image that is used often would otherwise have a page of any length.
DERIVED_GENERATIONS_MAX = 24


@dataclass(frozen=True)
class GenerationPresenter:
    """Presents a generation that was fetched with `STORED_OUTPUTS`."""

    generation: Generation

    @property
    def title(self) -> str:
        return labels.model_title(self.generation)

    @property
    def prompt(self) -> str:
        return labels.prompt_text(self.generation)

    @property
    def status(self) -> str:
        return labels.status_text(self.generation)

    @property
    def progress(self) -> str:
        return labels.progress_text(self.generation)

    @property
    def price(self) -> str:
        return labels.price_text(self.generation)

    @property
    def charge(self) -> str:
        return labels.charge_text(self.generation)

    @property
    def charge_reason(self) -> str:
        return labels.charge_reason(self.generation)

    @property
    def failure(self) -> labels.FailureExplanation | None:
        return labels.explain_failure(self.generation) if self.generation.status == Status.FAILED else None

    @property
    def files(self) -> list[Output]:
        # Derived generations are listed by name only, and fetched without their outputs.
        stored: list[Output] = getattr(self.generation, "stored_outputs", [])
        return stored

    @property
    def missing_files(self) -> int:
        """How many paid files of a completed generation will never come."""
        # The files of an erased generation are gone, but they were delivered.
        if self.generation.status != Status.COMPLETED or self.generation.erased_at:
            return 0
        return max(0, self.generation.files_expected - sum(file.counts for file in self.files))

    @property
    def preview_image(self) -> Output | None:
        """The image that represents the generation in a list, and a 3D model until it is loaded."""
        return next((file for file in self.files if file.kind == "image"), None)

    @property
    def preview_video(self) -> Output | None:
        return next((file for file in self.files if file.kind == "video"), None)

    @property
    def can_be_cancelled(self) -> bool:
        # A second request would change nothing: after the first one the provider decides.
        return self.generation.status in {Status.PENDING, Status.PROCESSING} and not self.generation.cancel_asked_at

    @cached_property
    def is_offered(self) -> bool:
        """Whether its model can be ordered at present. Queries the price book."""
        return price_book.is_offered(self.generation.model)

    @cached_property
    def again(self) -> Order | None:
        """The order of the same once more; None if it cannot be ordered. Queries the price book."""
        try:
            return services.completed_order(self.generation)
        except DomainError:
            return None

    @property
    def again_credits(self) -> int | None:
        return self.again.model.credits(self.again.inputs) if self.again else None

    @property
    def has_fixed_seed(self) -> bool:
        return self.again is not None and self.again.has_fixed_seed

    @property
    def typical_seconds(self) -> int | None:
        model = MODELS.get(self.generation.model)
        return model.typical_seconds if model else None

    @cached_property
    def inputs(self) -> list[tuple[str, str]]:
        """(label, text) of each input that was sent, in the order of the model's form."""
        values = self.generation.input
        model = MODELS.get(self.generation.model)
        known = {field.key: field.label for field in fields_of(model)} if model else {}
        # Inputs that the catalogue no longer declares come last, under their own names.
        names: list[str] = [name for name in known if name in values] + [name for name in values if name not in known]
        return [(known.get(name, name), _input_text(values[name])) for name in names]

    @property
    def details(self) -> list[Detail]:
        """What the model returned beside the files."""
        return describe(self.generation.details)

    @cached_property
    def input_files(self) -> list[InputFile]:
        """The uploads and outputs that the generation works on. One query."""
        return list(self.generation.input_files.select_related("upload", "output__generation"))

    @cached_property
    def derived_generations(self) -> list[GenerationPresenter]:
        """The newest generations that use its files as inputs. One query."""
        derived = Generation.objects.filter(input_files__output__generation=self.generation).distinct()
        return [GenerationPresenter(generation) for generation in derived[:DERIVED_GENERATIONS_MAX]]

    @cached_property
    def timeline(self) -> list[tuple[datetime, str]]:
        """(time, text) of each event, oldest first. One query."""
        return [(event.created_at, labels.event_text(event)) for event in self.generation.events.all()]


def follow_ups(file: Output) -> list[tuple[str, str]]:
    """Return (label, model slug) of everything that can be made from this output at present."""
    return [
        (label, slug)
        for label, slug in FOLLOW_UPS.get(file.kind, ())
        if price_book.is_offered(slug) and _is_accepted_by(slug, file)
    ]


def _is_accepted_by(slug: str, file: Output) -> bool:
    """Return whether the file meets the requirements of the model's first input of its kind.

    Inputs that take a list of files state no requirements, so they accept every file.
    """
    properties = MODELS[slug].schema["properties"].values()
    for requirements in (FileRequirements(**schema["x-file"]) for schema in properties if "x-file" in schema):
        if requirements.kind == file.kind:
            return not requirements.problem_with(
                media_type=file.content_type, size_bytes=file.size_bytes or 0, seconds=file.duration_seconds
            )
    return True


def _input_text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_input_text, value))
    if is_own_file(value):
        return "one of your files"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and {"width", "height"} == value.keys():
        return f"{value['width']} × {value['height']} pixels"
    if isinstance(value, dict):
        return ", ".join(map(_input_text, value.values()))
    return str(value)
