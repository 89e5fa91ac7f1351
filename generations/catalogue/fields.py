"""Input types that several declarations share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from generations.catalogue.declaration import SEEDS

# No model seen so far takes longer prompts; most stop far earlier.
PROMPT_CHARACTERS_MAX = 20_000


def prompt_field(
    description: str = "What to generate.", *, characters_max: int = PROMPT_CHARACTERS_MAX, **options: Any
) -> Any:
    """Return the pydantic field of the main text of an order. Forms show it as a large text box."""
    return Field(
        min_length=1,
        max_length=characters_max,
        description=description,
        json_schema_extra={"x-widget": "prompt"},
        **options,
    )


Prompt = Annotated[str, prompt_field()]
Seed = Annotated[
    int | None,
    Field(default=None, ge=0, le=SEEDS - 1, description="The same seed and inputs give the same result."),
]
SafetyTolerance = Annotated[
    Literal["1", "2", "3", "4", "5", "6"],
    Field(description="1 is the strictest, 6 the most lenient."),
]
