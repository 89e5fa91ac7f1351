"""Bodies of the requests that order: quotes, generations, batches and repetitions of an earlier generation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from credits.models import CREDITS_MAX
from generations import catalogue
from generations.catalogue import Inputs, InvalidInput, Model
from generations.http.idempotency import RequestIdentity
from generations.http.requests import RequestBody
from generations.ordering import price_book
from generations.ordering.orders import BatchOrder, Order
from generations.safe_http.recipients import WebhookUrl

METADATA_KEY = r"[A-Za-z_][A-Za-z0-9_.-]{0,39}"
"""Begins with a letter or underscore: PostgreSQL would take a number for the index of a list."""
BATCH_MAX = 200

MetadataKey = Annotated[str, StringConstraints(pattern=f"^{METADATA_KEY}$")]
MetadataValue = Annotated[str, StringConstraints(max_length=500)]
Metadata = Annotated[
    dict[MetadataKey, MetadataValue],
    Field(default_factory=dict, max_length=20, description="Your own keys and values. Lists can be filtered by them."),
]
MaxCredits = Annotated[
    int | None, Field(default=None, ge=0, le=CREDITS_MAX, description="Refuse the order if its price is higher.")
]
AllowDuplicate = Annotated[
    bool, Field(default=False, description="Accept the order even if you ordered the same in the last five minutes.")
]


@contextmanager
def located_in(*location: str | int) -> Iterator[None]:
    """Prefix the location of every InvalidInput inside the block: errors name their place in the request body."""
    try:
        yield
    except InvalidInput as error:
        located = []
        for each in error.errors:
            loc = list(each["loc"])
            # The preset is a member of the body, beside the inputs.
            if loc != ["preset"]:
                # The catalogue's ["input"] means the inputs as a whole, which is the prefix itself.
                loc = [*location, *([] if loc == ["input"] else loc)]
            located.append({**each, "loc": loc})
        raise InvalidInput(located) from error


class QuoteRequest(RequestBody):
    """An order whose price is asked for."""

    model: str = Field(max_length=100, description="The slug of a model.")
    input: dict[str, Any] = Field(description="The inputs, as the model's `input_schema` describes them.")
    preset: str | None = Field(default=None, max_length=50, description="One of the model's presets.")

    def resolve(self) -> tuple[Model, Inputs]:
        """Return the model at its current price, and the validated inputs. Raises UnknownModel, InvalidInput."""
        model = price_book.find(self.model)
        with located_in("input"):
            return model, model.read(self.input, preset=self.preset)


class OrderRequest(QuoteRequest):
    """An order of one generation."""

    metadata: Metadata
    max_credits: MaxCredits
    webhook_url: WebhookUrl | None = Field(
        default=None,
        description="Notified when this generation ends, beside your endpoints; signed with your account's secret.",
    )
    allow_duplicate: AllowDuplicate
    reuse: bool = Field(
        default=False,
        description="Accept your own earlier result of exactly this order, at no charge. It needs a fixed seed.",
    )

    def order(self, identity: RequestIdentity) -> Order:
        """Return the order. Raises UnknownModel, InvalidInput. Its price is found when it is placed."""
        model = catalogue.find(self.model)
        with located_in("input"):
            inputs = model.read(self.input, preset=self.preset)
        return Order(
            model=model,
            inputs=inputs,
            raw_input=self.input,
            preset=self.preset or "",
            metadata=self.metadata,
            webhook_url=self.webhook_url or "",
            idempotency_key=identity.key,
            request_hash=identity.request_hash,
            # With an idempotency key the client says itself which requests are the same.
            allow_duplicate=self.allow_duplicate or identity.key is not None,
        )


class BatchRequest(RequestBody):
    """An order of several generations of one model."""

    model: str = Field(max_length=100, description="The slug of a model.")
    inputs: list[dict[str, Any]] = Field(
        min_length=1, max_length=BATCH_MAX, description="One generation each, by the model's `input_schema`."
    )
    preset: str | None = Field(default=None, max_length=50, description="One of the model's presets, for all of them.")
    metadata: Metadata
    max_credits: MaxCredits
    allow_duplicate: AllowDuplicate
    notify: bool = Field(default=False, description="Send an e-mail when all of them have ended.")

    def order(self, identity: RequestIdentity) -> BatchOrder:
        """Return the batch order. Raises UnknownModel, InvalidInput."""
        model = price_book.find(self.model)
        # For all of them: the price of a batch cannot change between its orders.
        terms = price_book.Terms(percent=model.price.percent)
        orders = []
        for index, raw in enumerate(self.inputs):
            with located_in("inputs", index):
                inputs = model.read(raw, preset=self.preset)
            orders.append(
                Order(
                    model=model,
                    inputs=inputs,
                    raw_input=raw,
                    preset=self.preset or "",
                    metadata=self.metadata,
                    known_terms=terms,
                )
            )
        return BatchOrder(
            orders=orders,
            notify=self.notify,
            idempotency_key=identity.key,
            request_hash=identity.request_hash,
            allow_duplicate=self.allow_duplicate or identity.key is not None,
        )


class RetryRequest(RequestBody):
    """The order of a failed generation, once more, at the current price."""

    max_credits: MaxCredits
    allow_duplicate: AllowDuplicate


class AgainRequest(RequestBody):
    """The order of a completed generation, once more, at a price that the client has seen."""

    credits: int = Field(
        ge=0,
        le=CREDITS_MAX,
        description="The price that you agree to. If the current one is different, nothing is ordered.",
    )
    allow_duplicate: AllowDuplicate
