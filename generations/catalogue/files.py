"""Files that an input names: pictures, sounds, videos and weights, by address or as what lies with us."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# No top-level domain begins with a digit; what ends in a number is read as an address by someone (127.1, 0x7f.1).
_PUBLIC_NAME = re.compile(rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_PRIVATE_DOMAINS = (".local", ".localhost", ".internal", ".home.arpa")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_HUGGING_FACE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_STEP = re.compile(r"(\w+)|\[(\d+)\]")
URL_CHARACTERS_MAX = 2048
MEGABYTE = 1024**2

Loc = tuple[str | int, ...]
OwnFile = dict[str, str]
"""{"upload": id} or {"output": id}: a file that lies with us."""
FileValue = str | OwnFile


# --- What is wanted ---


@dataclass(frozen=True, kw_only=True)
class FileRequirements:
    """What an input wants of a file. Stands in the JSON Schema as `x-file`."""

    kind: Literal["image", "audio", "video", "weights"]
    megabytes_max: int = 50
    seconds_min: float | None = None
    seconds_max: float | None = None
    formats: tuple[str, ...] = ()
    """Media types, where not every one of the kind will do."""

    @property
    def noun(self) -> str:
        return {"image": "picture", "audio": "sound", "video": "video", "weights": "safetensors file"}[self.kind]

    def problem_with(self, *, media_type: str, size_bytes: int, seconds: float | None) -> tuple[str, str] | None:
        """Why a file of this kind will not do, in words and for programs, in fal's own words; None when it will."""
        if size_bytes > self.megabytes_max * MEGABYTE:
            return f"larger than {self.megabytes_max} MB", "file_too_large"
        if self.formats and media_type not in self.formats:
            taken = ", ".join(self.formats)
            return f"of a format that the model does not take; it takes {taken}", f"unsupported_{self.kind}_format"
        if seconds is not None and self.seconds_max is not None and seconds > self.seconds_max:
            return f"longer than {self.seconds_max:g} seconds", f"{self.kind}_duration_too_long"
        if seconds is not None and self.seconds_min is not None and seconds < self.seconds_min:
            return f"shorter than {self.seconds_min:g} seconds", f"{self.kind}_duration_too_short"
        return None


@dataclass(frozen=True, kw_only=True, eq=False)
class FileInput:
    """Where a file stands in an input."""

    loc: Loc
    """As errors tell it: ("image_urls", 0)."""
    value: FileValue
    requirements: FileRequirements

    @property
    def is_url(self) -> bool:
        return isinstance(self.value, str) and "://" in self.value

    @property
    def path(self) -> str:
        """As answers tell it: "image_urls[0]", "elements[0].video_url"."""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.loc)
        return steps.removeprefix(".")


def find_file_inputs(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[FileInput]:
    """Every file that these inputs name, by the model's JSON Schema."""
    return _named_in(schema, values, schema.get("$defs", {}), ())


def _named_in(schema: Mapping[str, Any], value: Any, shapes: Mapping[str, Any], loc: Loc) -> Iterator[FileInput]:
    if value is None:
        return
    if "x-file" in schema:
        yield FileInput(loc=loc, value=value, requirements=FileRequirements(**schema["x-file"]))
        return
    for shape in (schema, *schema.get("anyOf", ())):
        if "$ref" in shape:
            yield from _named_in(shapes[shape["$ref"].rpartition("/")[2]], value, shapes, loc)
        for step, inner, each in _inside(shape, value):
            yield from _named_in(inner, each, shapes, (*loc, step))


def _inside(shape: Mapping[str, Any], value: Any) -> Iterator[tuple[str | int, Mapping[str, Any], Any]]:
    """What an object or a list holds: where, of which shape, and what."""
    if isinstance(value, Mapping):
        for name, inner in shape.get("properties", {}).items():
            yield name, inner, value.get(name)
    elif isinstance(value, list) and "items" in shape:
        for index, each in enumerate(value):
            yield index, shape["items"], each


def replace_at(inputs: dict[str, Any], path: str, value: str) -> None:
    """Write this where a `FileInput.path` points. Raises ValueError when that is no place in these inputs."""
    *way, last = [int(index) if index else name for name, index in _STEP.findall(path)]
    node: Any = inputs
    try:
        for step in way:
            node = node[step]
        node[last]
    except (LookupError, TypeError) as error:
        raise ValueError(f"{path} is no place in these inputs.") from error
    node[last] = value


# --- How it is named ---


def is_own_file(value: Any) -> bool:
    """Whether this names an upload or an output, and nothing else."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, name),) = value.items()
    return kind in ("upload", "output") and isinstance(name, str) and re.fullmatch(_ID, name) is not None


def _read(value: Any) -> FileValue:
    """An address, or a file of the customer's own. Whether there is such a file is not known here."""
    if isinstance(value, str):
        if len(value) > URL_CHARACTERS_MAX:
            raise PydanticCustomError("string_too_long", f"The URL has at most {URL_CHARACTERS_MAX} characters.")
        return _fetchable(value)
    if is_own_file(value):
        return dict(value)
    raise PydanticCustomError(
        "file", 'A public https address, {"upload": id} or {"output": id}, the ids as we wrote them.'
    )


def _read_weights(value: Any) -> str:
    """An address, or a name at Hugging Face, which is fal's to find. Formats that run code when they are loaded are not
    taken."""
    if isinstance(value, str) and _HUGGING_FACE.fullmatch(value):
        return value
    if not isinstance(value, str) or not urlsplit(_fetchable(value)).path.endswith(".safetensors"):
        raise ValueError("A public https address of a .safetensors file, or owner/name at Hugging Face.")
    return value


def _fetchable(url: str) -> str:
    """fal fetches these. What only our own network could reach is refused all the same.

    But for a port of this very machine: there the simulator lives, and what we sign for it. Whether somebody may
    name one is the doors' to decide, who fetch what they are named before they order it.
    """
    if not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", url):
        raise ValueError("The URL must be plain ASCII without spaces or backslashes.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        port, host = 0, ""
    if not host or port == 0 or (parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK)):
        raise ValueError("The URL must begin with https:// and name a host.")
    if "@" in parts.netloc:
        raise ValueError("The URL must not carry a user name or password.")
    if host in _LOOPBACK and port:
        return url
    if not _PUBLIC_NAME.fullmatch(host) or host.endswith(_PRIVATE_DOMAINS):
        raise ValueError("The URL must name a public host, not an address.")
    return url


# --- Input types ---


def _reference_schema(kind: str, words: str) -> dict[str, Any]:
    return {
        "type": "object",
        "title": words,
        "properties": {kind: {"type": "string", "format": "uuid", "pattern": _ID}},
        "required": [kind],
        "additionalProperties": False,
    }


def file_schema(wanted: FileRequirements, *others: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of an input that names such a file."""
    address = {"type": "string", "format": "uri", "maxLength": URL_CHARACTERS_MAX}
    ours = [_reference_schema("output", f"A {wanted.noun} that was made for you")]
    said = f"A {wanted.noun}: a public https address, or an output of yours."
    if wanted.kind == "image":
        ours.insert(0, _reference_schema("upload", "An upload of yours"))
        said = "A picture: a public https address, an upload of yours, or an output of yours."
    return {
        "anyOf": [address, *ours, *others],
        "description": said,
        # Once more outside: they hold for texts alone, and readers look for them here.
        "format": "uri",
        "maxLength": URL_CHARACTERS_MAX,
        "x-widget": wanted.kind,
        "x-file": {name: limit for name, limit in asdict(wanted).items() if limit},
    }


def optional_file_schema(wanted: FileRequirements) -> dict[str, Any]:
    """The same, of an input that may be left out."""
    return file_schema(wanted, {"type": "null"})


FileUrl = Annotated[FileValue, PlainValidator(_read)]
PICTURE = FileRequirements(kind="image")
ImageUrl = Annotated[FileUrl, WithJsonSchema(file_schema(PICTURE))]
OptionalImageUrl = Annotated[FileUrl | None, WithJsonSchema(optional_file_schema(PICTURE)), Field(default=None)]
AudioUrl = Annotated[FileUrl, WithJsonSchema(file_schema(FileRequirements(kind="audio")))]
OptionalAudioUrl = Annotated[
    FileUrl | None, WithJsonSchema(optional_file_schema(FileRequirements(kind="audio"))), Field(default=None)
]
VideoUrl = Annotated[FileUrl, WithJsonSchema(file_schema(FileRequirements(kind="video")))]
OptionalVideoUrl = Annotated[
    FileUrl | None, WithJsonSchema(optional_file_schema(FileRequirements(kind="video"))), Field(default=None)
]
WeightsPath = Annotated[
    str,
    PlainValidator(_read_weights),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": URL_CHARACTERS_MAX,
            "description": "A public https address of a .safetensors file, or owner/name at Hugging Face.",
            "x-widget": "weights",
            "x-file": {"kind": "weights"},
        }
    ),
]
