"""Input types that several models share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

# Prompts longer than this are refused by every model we have seen, most far earlier.
PROMPT_CHARACTERS_MAX = 20_000


def prompt_field(words: str = "What to make.", *, characters_max: int = PROMPT_CHARACTERS_MAX, **others: Any) -> Any:
    """The text that an order is about."""
    return Field(
        min_length=1,
        max_length=characters_max,
        description=words,
        json_schema_extra={"x-widget": "prompt"},
        **others,
    )


Prompt = Annotated[str, prompt_field()]
Seed = Annotated[
    int | None,
    Field(default=None, ge=0, le=2**31 - 1, description="The same seed and inputs give the same result."),
]
SafetyTolerance = Annotated[
    Literal["1", "2", "3", "4", "5", "6"],
    Field(description="1 is strict, 6 lenient."),
]
