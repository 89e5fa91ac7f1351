"""A generation as its owner sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Prefetch

from generations.catalogue import MODELS, Model
from generations.catalogue.files import FileRequirements, is_own_file
from generations.models import Generation, InputFile, Output, Status
from generations.ordering import price_book
from generations.pages import labels
from generations.pages.details import Detail, details_in_words
from generations.pages.fields import fields_of

# What may be made of a file, by its kind: words, and the model that makes it.
FURTHER = {
    "image": (("Edit this", "nano-banana-pro-edit"), ("Make a video of this", "veo3.1-fast-image")),
    "video": (("Go on from here", "wan-2.7-image"),),
}
STORED = Prefetch("outputs", queryset=Output.objects.stored(), to_attr="stored")
# What model-viewer opens; other meshes are for download.
VIEWABLE_3D = "model/gltf-binary"
DERIVED_MAX = 24


@dataclass(frozen=True)
class Showing:
    """The generation, with its `STORED` outputs fetched, in the words of the pages."""

    generation: Generation

    @property
    def title(self) -> str:
        return labels.title_of(self.generation)

    @property
    def prompt(self) -> str:
        return labels.prompt_of(self.generation)

    @property
    def headline(self) -> str:
        return labels.headline(self.generation)

    @property
    def progress(self) -> str:
        return labels.progress(self.generation)

    @property
    def cost(self) -> str:
        return labels.cost(self.generation)

    @property
    def why(self) -> str:
        return labels.why(self.generation)

    @property
    def charge(self) -> str:
        return labels.charge(self.generation)

    @property
    def answers(self) -> labels.Answers | None:
        return labels.answers(self.generation) if self.generation.status == Status.FAILED else None

    @property
    def files(self) -> list[Output]:
        stored: list[Output] = getattr(self.generation, "stored", [])
        return stored

    @property
    def missing(self) -> int:
        """How many of the paid files will never come, of a generation that is complete all the same."""
        if self.generation.status != Status.COMPLETED or self.generation.erased_at:
            return 0
        return max(0, self.generation.files_expected - sum(file.counts for file in self.files))

    @property
    def picture(self) -> Output | None:
        """What stands for the whole in a list, and before a 3D model has loaded."""
        return next((file for file in self.files if file.kind == "image"), None)

    @property
    def video(self) -> Output | None:
        return next((file for file in self.files if file.kind == "video"), None)

    @property
    def may_be_cancelled(self) -> bool:
        return self.generation.status in {Status.PENDING, Status.PROCESSING} and not self.generation.cancel_asked_at

    @property
    def is_on_offer(self) -> bool:
        return price_book.is_offered(self.generation.model)

    @property
    def typical_seconds(self) -> int | None:
        model = MODELS.get(self.generation.model)
        return model.typical_seconds if model else None

    @cached_property
    def inputs(self) -> list[tuple[str, str]]:
        """(label, value) of everything that was asked for, in the form's order."""
        model = MODELS.get(self.generation.model)
        labels = {field.key: field.label for field in fields_of(model)} if model else {}
        asked = self.generation.input
        names: list[str] = [name for name in labels if name in asked] + [name for name in asked if name not in labels]
        return [(labels.get(name, name), _in_words(asked[name])) for name in names]

    @property
    def details(self) -> list[Detail]:
        """What came beside the files."""
        return details_in_words(self.generation.details)

    @cached_property
    def input_files(self) -> list[InputFile]:
        """The files of its owner's that it works on."""
        return list(self.generation.input_files.select_related("upload", "output__generation"))

    @cached_property
    def derived(self) -> list[Showing]:
        """What was made of its files, the newest first."""
        children = Generation.objects.filter(input_files__output__generation=self.generation).distinct()
        return [Showing(child) for child in children[:DERIVED_MAX]]

    @cached_property
    def timeline(self) -> list[tuple[Any, str]]:
        return [(event.created_at, labels.happened(event)) for event in self.generation.events.all()]


def further(file: Output) -> list[tuple[str, str]]:
    """(words, model) of what may be made of it."""
    offers = FURTHER.get(file.kind, ())
    return [(words, slug) for words, slug in offers if price_book.is_offered(slug) and _fits(file, MODELS[slug])]


def _fits(file: Output, model: Model) -> bool:
    """Whether the first input of its kind takes it; an input of several takes any."""
    wanted = [FileRequirements(**each["x-file"]) for each in model.schema["properties"].values() if "x-file" in each]
    for each in wanted:
        if each.kind == file.kind:
            return not each.problem_with(
                media_type=file.content_type, size_bytes=file.size_bytes or 0, seconds=file.duration_seconds
            )
    return True


def _in_words(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(map(_in_words, value))
    if is_own_file(value):
        return "a file of yours"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict) and {"width", "height"} == value.keys():
        return f"{value['width']} × {value['height']} pixels"
    if isinstance(value, dict):
        return ", ".join(map(_in_words, value.values()))
    return str(value)
