"""Inputs that name a file: an image, audio, a video or model weights, by URL or as one of the customer's own files.

Declarations use the input types at the end of the module. Ordering and pages use `find_file_inputs` and
`FileRequirements` to find and check the files of an order, and `replace_at` to put signed URLs into the arguments. URLs
are checked by their text only; nothing here opens a connection or knows which files exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MEGABYTE = 1024**2
URL_CHARACTERS_MAX = 2048

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# No top-level domain begins with a digit, and some resolvers read a name that ends in a number as an IP address
# (127.1, 0x7f.1).
_PUBLIC_NAME = re.compile(rf"({_LABEL}\.)+[a-z]([a-z0-9-]{{0,61}}[a-z0-9])?")
_PRIVATE_DOMAINS = (".local", ".localhost", ".internal", ".home.arpa")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_HUGGING_FACE = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_PATH_STEP = re.compile(r"(\w+)|\[(\d+)\]")

Loc = tuple[str | int, ...]
OwnFile = dict[str, str]
"""{"upload": id} or {"output": id}: a file of the customer that Limn stores."""
FileValue = str | OwnFile
"""What an input that takes a file may hold: a URL or an own file."""


# --- Requirements ---


@dataclass(frozen=True, kw_only=True)
class FileRequirements:
    """What a model takes as the file of an input. Part of the JSON Schema as `x-file`."""

    kind: Literal["image", "audio", "video", "weights"]
    megabytes_max: int = 50
    seconds_min: float | None = None
    seconds_max: float | None = None
    formats: tuple[str, ...] = ()
    """Media types. Empty if the model takes every type of this kind."""

    @property
    def noun(self) -> str:
        """What such a file is called in messages, with its article."""
        nouns = {"image": "an image", "audio": "an audio file", "video": "a video", "weights": "a .safetensors file"}
        return nouns[self.kind]

    @property
    def wrong_kind(self) -> tuple[str, str]:
        """The message and the error code for a file of another kind, as `problem_with` returns them."""
        # The codes are part of the API and older than the nouns.
        code = {"image": "picture", "audio": "sound", "video": "video", "weights": "weights"}[self.kind]
        return f"not {self.noun}", f"not_a_{code}"

    def problem_with(self, *, media_type: str, size_bytes: int, seconds: float | None) -> tuple[str, str] | None:
        """Return why the model does not take a file of the right kind.

        Args:
            media_type: Found by inspection, not claimed by the customer.
            seconds: The length of audio or video, or None if it is not known.

        Returns:
            The end of a sentence ("larger than 50 MB") and the error code that fal uses for the same problem, or None
            if the file will do.
        """
        if size_bytes > self.megabytes_max * MEGABYTE:
            return f"larger than {self.megabytes_max} MB", "file_too_large"
        if self.formats and media_type not in self.formats:
            message = f"of a format that the model does not take; it takes {', '.join(self.formats)}"
            return message, f"unsupported_{self.kind}_format"
        if seconds is not None and self.seconds_max is not None and seconds > self.seconds_max:
            return f"longer than {self.seconds_max:g} seconds", f"{self.kind}_duration_too_long"
        if seconds is not None and self.seconds_min is not None and seconds < self.seconds_min:
            return f"shorter than {self.seconds_min:g} seconds", f"{self.kind}_duration_too_short"
        return None


# --- Files in the inputs of an order ---


@dataclass(frozen=True, kw_only=True, eq=False)
class FileInput:
    """A file that the inputs of an order name."""

    loc: Loc
    """Its location as in error messages: ("image_urls", 0)."""
    value: FileValue
    requirements: FileRequirements

    @property
    def is_url(self) -> bool:
        """Whether the file is named by URL: it is neither an own file nor a repository of weights."""
        return isinstance(self.value, str) and "://" in self.value

    @property
    def path(self) -> str:
        """Its location as a JSON path, for `replace_at`: "image_urls[0]", "elements[0].video_url"."""
        steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.loc)
        return steps.removeprefix(".")


def find_file_inputs(schema: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[FileInput]:
    """Return every file that these inputs name.

    Args:
        schema: The JSON Schema of the model (`Model.schema`).
        values: Validated inputs or arguments of the model.
    """
    return _find_in(schema, values, schema.get("$defs", {}), ())


def _find_in(schema: Mapping[str, Any], value: Any, definitions: Mapping[str, Any], loc: Loc) -> Iterator[FileInput]:
    """Yield the files of one value; `definitions` are the `$defs` that a `$ref` of the schema points to."""
    if value is None:
        return
    if "x-file" in schema:
        yield FileInput(loc=loc, value=value, requirements=FileRequirements(**schema["x-file"]))
        return
    # An optional input is an `anyOf` with null. Only one of the alternatives has properties or items that match.
    for shape in (schema, *schema.get("anyOf", ())):
        if "$ref" in shape:
            yield from _find_in(definitions[shape["$ref"].rpartition("/")[2]], value, definitions, loc)
        if isinstance(value, Mapping):
            for name, member in shape.get("properties", {}).items():
                yield from _find_in(member, value.get(name), definitions, (*loc, name))
        elif isinstance(value, list) and "items" in shape:
            for index, item in enumerate(value):
                yield from _find_in(shape["items"], item, definitions, (*loc, index))


def replace_at(inputs: dict[str, Any], path: str, value: str) -> None:
    """Replace the value at a `FileInput.path`, in place.

    Raises:
        ValueError: These inputs have nothing at the path.
    """
    *parents, last = [int(index) if index else name for name, index in _PATH_STEP.findall(path)]
    node: Any = inputs
    try:
        for step in parents:
            node = node[step]
        node[last]
    except (LookupError, TypeError) as error:
        raise ValueError(f"The inputs have no value at {path}.") from error
    node[last] = value


def is_own_file(value: Any) -> bool:
    """Return whether this is {"upload": id} or {"output": id} and nothing else.

    It does not tell whether the file exists.
    """
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    ((kind, name),) = value.items()
    return kind in ("upload", "output") and isinstance(name, str) and re.fullmatch(_ID, name) is not None


# --- Validation ---


def validate_file(value: Any) -> FileValue:
    if isinstance(value, str):
        if len(value) > URL_CHARACTERS_MAX:
            raise PydanticCustomError("string_too_long", f"The URL has at most {URL_CHARACTERS_MAX} characters.")
        return validate_url(value)
    if is_own_file(value):
        return dict(value)
    raise PydanticCustomError(
        "file", 'Give a public https URL, {"upload": id} or {"output": id}, with the ID as the API returned it.'
    )


def validate_weights(value: Any) -> str:
    # fal resolves names of Hugging Face itself. Formats that run code when they are loaded (pickles) are not taken.
    if isinstance(value, str) and _HUGGING_FACE.fullmatch(value):
        return value
    if not isinstance(value, str) or not urlsplit(validate_url(value)).path.endswith(".safetensors"):
        raise ValueError("Give a public https URL of a .safetensors file, or owner/name of a Hugging Face repository.")
    return value


def validate_url(url: str) -> str:
    """Refuse URLs that fal could not fetch, or that lead into a private network.

    Loopback addresses with a port pass, because the simulator serves its files there. Whether a customer may name one
    is decided when the file is fetched for inspection, before the order is placed.
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
        raise ValueError("The URL must not contain a user name or password.")
    if host in _LOOPBACK and port:
        return url
    if not _PUBLIC_NAME.fullmatch(host) or host.endswith(_PRIVATE_DOMAINS):
        raise ValueError("The URL must name a public host, not an IP address.")
    return url


# --- Input types ---


def file_schema(requirements: FileRequirements, *, optional: bool = False) -> dict[str, Any]:
    """Return the JSON Schema of an input that takes such a file, or null if it is optional."""
    titles = {"output": f"One of your outputs: {requirements.noun}"}
    description = f"{requirements.noun.capitalize()}: a public https URL or one of your outputs."
    if requirements.kind == "image":
        titles = {"upload": "One of your uploads", **titles}
        description = "An image: a public https URL, one of your uploads or one of your outputs."
    own_files = [
        {
            "type": "object",
            "title": title,
            "properties": {kind: {"type": "string", "format": "uuid", "pattern": _ID}},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind, title in titles.items()
    ]
    url = {"type": "string", "format": "uri", "maxLength": URL_CHARACTERS_MAX}
    return {
        "anyOf": [url, *own_files, *([{"type": "null"}] if optional else [])],
        "description": description,
        # Repeated from the URL, because readers of the schema look here. JSON Schema applies them to strings only.
        "format": "uri",
        "maxLength": URL_CHARACTERS_MAX,
        "x-widget": requirements.kind,
        "x-file": {name: limit for name, limit in asdict(requirements).items() if limit},
    }


IMAGE, AUDIO, VIDEO = FileRequirements(kind="image"), FileRequirements(kind="audio"), FileRequirements(kind="video")
FileUrl = Annotated[FileValue, PlainValidator(validate_file)]
OptionalFileUrl = Annotated[FileUrl | None, Field(default=None)]
ImageUrl = Annotated[FileUrl, WithJsonSchema(file_schema(IMAGE))]
OptionalImageUrl = Annotated[OptionalFileUrl, WithJsonSchema(file_schema(IMAGE, optional=True))]
AudioUrl = Annotated[FileUrl, WithJsonSchema(file_schema(AUDIO))]
OptionalAudioUrl = Annotated[OptionalFileUrl, WithJsonSchema(file_schema(AUDIO, optional=True))]
VideoUrl = Annotated[FileUrl, WithJsonSchema(file_schema(VIDEO))]
OptionalVideoUrl = Annotated[OptionalFileUrl, WithJsonSchema(file_schema(VIDEO, optional=True))]
WeightsPath = Annotated[
    str,
    PlainValidator(validate_weights),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": URL_CHARACTERS_MAX,
            "description": "A public https URL of a .safetensors file, or owner/name of a Hugging Face repository.",
            "x-widget": "weights",
            "x-file": {"kind": "weights"},
        }
    ),
]
