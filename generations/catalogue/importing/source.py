"""What was understood, written down as Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal

from generations.catalogue.importing.document import CannotDeclare, Document
from generations.catalogue.importing.inputs import FILES, PROMPTS, SIZE, Declared, literal
from generations.catalogue.prices import CREDITS_PER_DOLLAR, IMAGES, MEGAPIXELS, SECONDS

KIND_OF = {"image": "image", "video": "video", "3d": "3d", "audio": "audio", "speech": "audio", "music": "audio"}
SECONDS_OF = {"image": 20, "video": 120, "3d": 120, "audio": 20}
LINE_MAX = 120
OUTPUTS = ("Files", "Images", "Video", "picture_type")
PRICES = ("flat", "per_image", "per_megapixel", "per_second", "per_thousand_characters")


@dataclass(frozen=True, kw_only=True)
class ListPrice:
    """What fal's price list says; or, without a unit, what a person says: so many credits, whatever is asked for."""

    credits: int
    unit: str = ""

    @classmethod
    def of(cls, dollars: Decimal, unit: str) -> ListPrice:
        return cls(credits=int((dollars * CREDITS_PER_DOLLAR).to_integral_value(ROUND_CEILING)), unit=unit)


@dataclass(frozen=True, kw_only=True)
class Draft:
    document: Document
    endpoint: str
    slug: str
    inputs: dict[str, Declared]
    left_out: list[str]
    files: dict[str, str]

    @property
    def kind(self) -> str:
        target = self.document.category.rpartition("-")[2]
        first = next(iter(self.files))
        return KIND_OF.get(target) or next((kind for kind in ("video", "audio") if kind in first), "image")


def written(draft: Draft, *, price: ListPrice, on: date) -> str:
    """The module."""
    body = _body(draft, price, on)
    docstring = f'"""{draft.endpoint}, as fal describes it. Imported on {on.isoformat()}."""\n'
    return f"{docstring}\n{_imports(body)}\n{body}"


def _body(draft: Draft, price: ListPrice, on: date) -> str:
    class_name = "".join(part.capitalize() for part in re.split(r"[^a-z0-9]+", draft.slug))
    unsure = [
        f"imported on {on.isoformat()} from fal's OpenAPI document; nobody has read it over",
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
        "typical_seconds": str(SECONDS_OF[draft.kind]),
        "unsure": _wrapped("(", [literal(line) for line in unsure], ")", indent=4, always=True),
    }
    fields = "".join(f"    {name}: {_declared(name, field)}\n" for name, field in draft.inputs.items())
    arguments = "".join(f"    {name}={source},\n" for name, source in details.items())
    constant = re.sub(r"[^A-Z0-9]+", "_", draft.slug.upper())
    return f"\n\nclass {class_name}(Inputs):\n{fields}\n\n{constant} = Model(\n{arguments})\n"


def _declared(name: str, field: Declared) -> str:
    annotation, before = field.annotation, len(f"    {name}: ")
    if annotation.startswith("Literal[") and before + len(annotation) + len(" = Field(") > LINE_MAX:
        head, _, tail = annotation.removeprefix("Literal[").rpartition("]")
        annotation = _wrapped("Literal[", _values(head), "]", indent=4, before=before, always=True) + tail
        before = len("    ]")
    if not field.arguments:
        return f"{annotation} = {field.default}" if field.default else annotation
    before += len(annotation.rpartition("\n")[2])
    return annotation + _wrapped(" = Field(", list(field.arguments), ")", indent=4, before=before)


def _values(listed: str) -> list[str]:
    """The literals between the brackets, which may hold commas themselves."""
    return [found[0] for found in re.finditer(r'"(\\.|[^"\\])*"|[^\s,]+', listed)]


def _wrapped(head: str, items: list[str], tail: str, *, indent: int, before: int = 0, always: bool = False) -> str:
    """On one line where it fits, else each item on its own: as our formatter would."""
    line = f"{head}{', '.join(items)}{tail}"
    if not always and before + len(line) <= LINE_MAX:
        return line
    margin = " " * indent
    return f"{head}\n" + "".join(f"{margin}    {item},\n" for item in items) + f"{margin}{tail}"


def _imports(body: str) -> str:
    """Only what the body uses: linters look at imported models, too."""

    def used(*names: str) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\b[\[\](:, \n]", body)]

    wanted = [
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
    groups = [[f"from {module} import {', '.join(names)}" for module, names in group if names] for group in wanted]
    return "\n\n".join("\n".join(lines) for lines in groups if lines)


def _output(draft: Draft) -> str:
    places = list(draft.files)
    if places == ["images[0]"]:
        return "Images()"
    if places == ["video"]:
        return "Video()"
    named = [f"{literal(place)}: {kind}" for place, kind in draft.files.items()]
    mapping = _wrapped("named=lambda inputs: {", named, "}", indent=8, before=8)
    arguments = [mapping, f"paid=frozenset({{{literal(places[0])}}})"]
    return _wrapped("Files(", arguments, ")", indent=4, before=len("    output=,"), always="\n" in mapping)


def _price(draft: Draft, price: ListPrice) -> str:
    """The formula for fal's unit. Raises CannotDeclare where the inputs do not say how many units an order takes."""
    credits, unit = price.credits, price.unit.strip().lower()
    if credits <= 0:
        raise CannotDeclare("fal's list asks nothing for it. Say what an order shall cost: --credits.")
    by_unit = {IMAGES: f"per_image({credits})", MEGAPIXELS: _per_megapixel(draft, credits)}
    by_unit[SECONDS] = _per_second(draft, credits)
    plural = unit if unit.endswith("s") else f"{unit}s"
    if plural in by_unit:
        if by_unit[plural] is None:
            raise CannotDeclare(f"fal bills {plural}, and an order does not say how many. Give --credits an order.")
        return str(by_unit[plural])
    text = next((name for name in PROMPTS if name in draft.inputs), None)
    if "character" in unit and text is not None:
        return f"per_thousand_characters({credits}, of={literal(text)})"
    return f"flat({credits}, unit={literal(unit)})" if unit else f"flat({credits})"


def _per_megapixel(draft: Draft, credits: int) -> str | None:
    size = draft.inputs.get("image_size")
    return f"per_megapixel({credits})" if size is not None and size.annotation == SIZE else None


def _per_second(draft: Draft, credits: int) -> str | None:
    duration = draft.inputs.get("duration")
    annotation = duration.annotation if duration is not None else ""
    says = annotation == "int" or (annotation.startswith("Literal[") and "auto" not in annotation)
    if not says or annotation.endswith("None"):
        return None
    return f"per_second(lambda inputs: {credits}, words={literal(f'{credits} credits a second')})"
