"""What a body may say, and the key that makes a request safe to repeat. Strict: an unknown name is refused."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from credits.models import CREDITS_MAX
from generations.ordering import price_book
from generations.safe_http import recipients
from generations.http.problems import Problem
from generations.catalogue import Inputs, InvalidInput, Model
from generations.models import WEBHOOK_URL_CHARACTERS_MAX
from generations.safe_http.recipients import BadAddress

METADATA_KEY = r"[A-Za-z_][A-Za-z0-9_.-]{0,39}"
"""It begins with a letter: to PostgreSQL a number would mean a place in a list."""
BATCH_MAX = 200
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")

MetadataKey = Annotated[str, StringConstraints(pattern=f"^{METADATA_KEY}$")]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
MaxCredits = Annotated[
    int | None, Field(default=None, ge=0, le=CREDITS_MAX, description="Refuse it when it would cost more.")
]


def _reachable(url: str) -> str:
    try:
        recipients.check(url)
    except BadAddress as error:
        raise PydanticCustomError("webhook_url", "{why}", {"why": str(error)}) from error
    return url


WebhookUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=WEBHOOK_URL_CHARACTERS_MAX),
    AfterValidator(_reachable),
    Field(description="An https address of the internet."),
]


class RequestBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def read(cls, request: Request) -> Self:
        """The wish in the body of this request. Raises InvalidInput."""
        if "Transfer-Encoding" in request.headers and "Content-Length" not in request.headers:
            # WSGI cannot tell where such a body ends, so Django takes it for empty.
            raise Problem("length_required", "Send a Content-Length instead of Transfer-Encoding: chunked.")
        try:
            return cls.model_validate(request.data)
        except ValidationError as error:
            raise InvalidInput(
                [{"loc": list(each["loc"]), "msg": each["msg"], "type": each["type"]} for each in error.errors()]
            ) from error


class QuoteRequest(RequestBody):
    """What should be priced."""

    model: str = Field(max_length=100, description="A model's slug.")
    input: dict[str, Any] = Field(description="By the model's `input_schema`.")
    preset: str | None = Field(default=None, max_length=50, description="One of the model's presets.")

    def chosen(self) -> tuple[Model, Inputs]:
        """The model at today's price and its inputs, checked and completed. Raises UnknownModel, InvalidInput."""
        model = price_book.find(self.model)
        return model, checked(model, self.input, self.preset)


Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(
        default_factory=dict, max_length=20, description="Words of your own, kept with it; the list filters by them."
    ),
]
AllowDuplicate = Annotated[
    bool, Field(default=False, description="It is meant, even if you ordered the same within the last five minutes.")
]


class OrderRequest(QuoteRequest):
    """What should be made."""

    metadata: Metadata
    max_credits: MaxCredits
    webhook_url: WebhookUrl | None = Field(
        default=None, description="Told of this order's end, beside your endpoints; signed with your own secret."
    )
    allow_duplicate: AllowDuplicate
    reuse: bool = Field(
        default=False,
        description="Your own earlier result will do, at no charge, if the wish is the very same and has a fixed seed.",
    )


class BatchRequest(RequestBody):
    """What should be made of several inputs."""

    model: str = Field(max_length=100, description="A model's slug.")
    inputs: list[dict[str, Any]] = Field(
        min_length=1, max_length=BATCH_MAX, description="One generation each, by the model's `input_schema`."
    )
    preset: str | None = Field(default=None, max_length=50, description="One of the model's presets, for all of them.")
    metadata: Metadata
    max_credits: MaxCredits
    allow_duplicate: AllowDuplicate
    notify: bool = Field(default=False, description="Write an e-mail when all of it has ended.")

    def chosen(self) -> tuple[Model, list[Inputs]]:
        """The model and the inputs of each, checked and completed. Raises UnknownModel, InvalidInput."""
        model = price_book.find(self.model)
        return model, list(self._checked(model))

    def _checked(self, model: Model) -> Iterator[Inputs]:
        for index, raw in enumerate(self.inputs):
            yield checked(model, raw, self.preset, place=("inputs", index))


class RetryRequest(RequestBody):
    """The same again, at today's price."""

    max_credits: MaxCredits


def checked(
    model: Model, raw: Mapping[str, Any], preset: str | None, *, place: tuple[str | int, ...] = ("input",)
) -> Inputs:
    """The inputs, as the catalogue reads them. Its errors are told by their place in the body."""
    with told_by_place(place):
        return model.read(raw, preset=preset)


@contextmanager
def told_by_place(place: tuple[str | int, ...] = ("input",)) -> Iterator[None]:
    """What is wrong with an input is told by its place in the body."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput([_in_the_body(each, place) for each in error.errors]) from error


def _in_the_body(error: Mapping[str, Any], place: tuple[str | int, ...]) -> dict[str, Any]:
    loc = list(error["loc"])
    inside = [] if loc == ["input"] else loc
    return {**error, "loc": loc if loc == ["preset"] else [*place, *inside]}


@dataclass(frozen=True, kw_only=True)
class RequestIdentity:
    """What makes two requests the same one."""

    key: str | None
    fingerprint: str
    """Of the body, so that a key cannot stand for two wishes."""

    @classmethod
    def read(cls, request: Request, **beside: str) -> Self:
        """From this request; `beside` is what its address says, and its body does not."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _PRINTABLE.fullmatch(key):
            raise ParseError("An Idempotency-Key has 1 to 255 printable ASCII characters.")
        body = dict(request.data) | beside
        canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
        return cls(key=key, fingerprint=hashlib.sha256(canonical.encode()).hexdigest())
