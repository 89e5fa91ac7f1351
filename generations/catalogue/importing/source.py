"""Writes a declaration as the source of a Python module, formatted as ruff would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal

from generations.catalogue.importing.document import CannotDeclare, Document
from generations.catalogue.importing.inputs import FILES, PROMPTS, SIZE, FieldSource, literal
from generations.catalogue.prices import CREDITS_PER_DOLLAR, IMAGES, MEGAPIXELS, SECONDS

KIND_OF = {"image": "image", "video": "video", "3d": "3d", "audio": "audio", "speech": "audio", "music": "audio"}
TYPICAL_SECONDS_OF = {"image": 20, "video": 120, "3d": 120, "audio": 20}
LINE_MAX = 120
OUTPUTS = ("Files", "Images", "Video", "image_type")
PRICES = ("flat", "per_image", "per_megapixel", "per_second", "per_thousand_characters")


@dataclass(frozen=True, kw_only=True)
class ListPrice:
    """fal's list price of a unit, or, without a unit, a fixed price per generation that a person chose."""

    credits: int
    unit: str = ""
    """The unit in fal's words: "images", "megapixels" …"""

    @classmethod
    def of(cls, dollars: Decimal, unit: str) -> ListPrice:
        """Return the price in credits, rounded up to whole ones."""
        return cls(credits=int((dollars * CREDITS_PER_DOLLAR).to_integral_value(ROUND_CEILING)), unit=unit)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known of a model before its source is written."""

    document: Document
    endpoint: str
    slug: str
    inputs: dict[str, FieldSource]
    left_out: list[str]
    """Names of inputs that fal takes and the declaration does not."""
    files: dict[str, str]
    """JSON path in the answer → Python source of the media type. The customer pays for the first."""

    @property
    def kind(self) -> str:
        target = self.document.category.rpartition("-")[2]
        first = next(iter(self.files))
        return KIND_OF.get(target) or next((kind for kind in ("video", "audio") if kind in first), "image")


def render(draft: Draft, *, price: ListPrice, on: date) -> str:
    """Return the source of the module. Raises CannotDeclare if the price does not follow from the inputs."""
    class_name = "".join(part.capitalize() for part in re.split(r"[^a-z0-9]+", draft.slug))
    unsure = [
        f"imported on {on.isoformat()} from fal's OpenAPI document and not reviewed",
        "the price: fal's list names one, and options may cost more",
        *([f"fal also takes {', '.join(draft.left_out)}"[:100]] if draft.left_out else []),
    ]
    details = {
        "slug": literal(draft.slug),
        "endpoint": literal(draft.endpoint),
        "title": literal(draft.document.title or draft.slug),
        "summary": literal(draft.document.summary or draft.slug),
        "kind": literal(draft.kind),
        "inputs": class_name,
        "output": _output(draft),
        "price": _price(draft, price),
        "typical_seconds": str(TYPICAL_SECONDS_OF[draft.kind]),
        "unsure": _wrapped("(", [literal(line) for line in unsure], ")", indent=4, always=True),
    }
    fields = "".join(f"    {name}: {_field(name, field)}\n" for name, field in draft.inputs.items())
    arguments = "".join(f"    {name}={source},\n" for name, source in details.items())
    constant = re.sub(r"[^A-Z0-9]+", "_", draft.slug.upper())
    body = f"\n\nclass {class_name}(Inputs):\n{fields}\n\n{constant} = Model(\n{arguments})\n"
    docstring = f'"""{draft.endpoint}, as fal describes it. Imported on {on.isoformat()}."""\n'
    return f"{docstring}\n{_imports(body)}\n{body}"


def _field(name: str, field: FieldSource) -> str:
    """Return the annotation and the default of a field, wrapped."""
    annotation, before = field.annotation, len(f"    {name}: ")
    if annotation.startswith("Literal[") and before + len(annotation) + len(" = Field(") > LINE_MAX:
        choices, _, tail = annotation.removeprefix("Literal[").rpartition("]")
        # Choices may contain commas and escaped quotes.
        items = [found[0] for found in re.finditer(r'"(\\.|[^"\\])*"|[^\s,]+', choices)]
        annotation = _wrapped("Literal[", items, "]", indent=4, before=before, always=True) + tail
        before = len("    ]")
    if not field.arguments:
        return f"{annotation} = {field.default}" if field.default else annotation
    before += len(annotation.rpartition("\n")[2])
    return annotation + _wrapped(" = Field(", list(field.arguments), ")", indent=4, before=before)


def _wrapped(head: str, items: list[str], tail: str, *, indent: int, before: int = 0, always: bool = False) -> str:
    """Return items in brackets: on one line if they fit behind the `before` characters of it, else one per line."""
    line = f"{head}{', '.join(items)}{tail}"
    if not always and before + len(line) <= LINE_MAX:
        return line
    margin = " " * indent
    return f"{head}\n" + "".join(f"{margin}    {item},\n" for item in items) + f"{margin}{tail}"


def _imports(body: str) -> str:
    """Return the imports of the names that the body uses, and of no others: linters check imported models too."""

    def used(*names: str) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b[\[\](:, \n]", body)]

    modules = [
        [("typing", used("Literal"))],
        [("pydantic", used("Field"))],
        [
            ("generations.catalogue.declaration", ["Inputs", "Model"]),
            ("generations.catalogue.files", used(*sorted([*FILES, *(f"Optional{kind}" for kind in FILES)]))),
            ("generations.catalogue.outputs", used(*OUTPUTS)),
            ("generations.catalogue.prices", used(*PRICES)),
            ("generations.catalogue.sizes", used("CustomSize", "ImagePreset")),
        ],
    ]
    groups = [[f"from {module} import {', '.join(names)}" for module, names in group if names] for group in modules]
    return "\n\n".join("\n".join(lines) for lines in groups if lines)


def _output(draft: Draft) -> str:
    paths = list(draft.files)
    if paths == ["images[0]"]:
        return "Images()"
    if paths == ["video"]:
        return "Video()"
    named = [f"{literal(path)}: {media_type}" for path, media_type in draft.files.items()]
    mapping = _wrapped("named=lambda inputs: {", named, "}", indent=8, before=8)
    arguments = [mapping, f"paid=frozenset({{{literal(paths[0])}}})"]
    return _wrapped("Files(", arguments, ")", indent=4, before=len("    output=,"), always="\n" in mapping)


def _price(draft: Draft, price: ListPrice) -> str:
    """Return the price as a call of one of `prices`' functions.

    Raises:
        CannotDeclare: fal's list price is 0, or the inputs do not tell how many units an order takes.
    """
    credits, unit = price.credits, price.unit.strip().lower()
    if credits <= 0:
        raise CannotDeclare("fal's list price is 0. Set the price of an order with --credits.")
    by_unit: dict[str, str | None] = {IMAGES: f"per_image({credits})", MEGAPIXELS: None, SECONDS: None}
    size, duration = draft.inputs.get("image_size"), draft.inputs.get("duration")
    if size is not None and size.annotation == SIZE:
        by_unit[MEGAPIXELS] = f"per_megapixel({credits})"
    # "auto" lets the model choose the length, and an optional duration leaves it to fal.
    annotation = duration.annotation if duration is not None else ""
    is_choice = annotation.startswith("Literal[") and "auto" not in annotation
    if (annotation == "int" or is_choice) and not annotation.endswith("None"):
        by_unit[SECONDS] = (
            f"per_second(lambda inputs: {credits}, description={literal(f'{credits} credits per second')})"
        )
    plural = unit if unit.endswith("s") else f"{unit}s"
    if plural in by_unit:
        if (source := by_unit[plural]) is None:
            raise CannotDeclare(f"fal bills {plural}, and the inputs do not say how many. Set --credits for an order.")
        return source
    text = next((name for name in PROMPTS if name in draft.inputs), None)
    if "character" in unit and text is not None:
        return f"per_thousand_characters({credits}, of={literal(text)})"
    return f"flat({credits}, unit={literal(unit)})" if unit else f"flat({credits})"
