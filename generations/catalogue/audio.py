"""Models that make sound: speech and music."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Prompt, Seed, prompt_field
from generations.catalogue.outputs import Audio, seed_beside
from generations.catalogue.prices import flat, per_thousand_characters

# What a voice reads in about a second. Only for an expectation and a simulated answer, never for a price.
CHARACTERS_PER_SECOND = 15


class ElevenV3(Inputs):
    text: str = prompt_field("What to say.", characters_max=3_000)
    voice: str = Field(
        default="Rachel",
        min_length=1,
        max_length=100,
        description="Rachel, Aria, Roger, Sarah, Charlie … or the id of a voice at ElevenLabs.",
    )
    stability: float = Field(default=0.5, ge=0, le=1, description="How even the voice is; lower is livelier.")
    language_code: str | None = Field(
        default=None, min_length=2, max_length=2, description="Two letters, such as “de”, to enforce a language."
    )
    apply_text_normalization: Literal["auto", "on", "off"] = Field(default="auto", description="Spell numbers out.")
    timestamps: bool = Field(default=False, description="Say when each word is spoken; see details.")


def _seconds_of_speech(inputs: Any) -> float | None:
    text = getattr(inputs, "text", None)
    return None if text is None else max(1.0, len(text) / CHARACTERS_PER_SECOND)


def _beside_speech(inputs: Any) -> dict[str, Any]:
    words = re.finditer(r"\S+", inputs.text)
    return {"timestamps": [_spoken(word) for word in words]} if inputs.timestamps else {}


def _spoken(word: re.Match[str]) -> dict[str, Any]:
    start, end = (round(place / CHARACTERS_PER_SECOND, 3) for place in word.span())
    return {"text": word[0], "start": start, "end": end}


ELEVEN_V3 = Model(
    slug="eleven-v3",
    endpoint="fal-ai/elevenlabs/tts/eleven-v3",
    title="Eleven v3, text to speech",
    summary="A text, read aloud with feeling, in more than seventy languages.",
    kind="audio",
    inputs=ElevenV3,
    output=Audio(extension="mp3", seconds=_seconds_of_speech, beside=_beside_speech),
    price=per_thousand_characters(100, of="text"),
    typical_seconds=8,
    unsure=(
        "the limit of 3,000 characters: third-party documentation",
        "whether fal bills the characters or each thousand that is begun",
        "what an entry of timestamps looks like: fal's document says “a list, for each word”, and no more",
    ),
)


class StableAudio25(Inputs):
    prompt: Prompt
    seconds_total: int = Field(default=30, ge=1, le=190, description="Seconds of music.")
    num_inference_steps: int = Field(default=8, ge=4, le=8, description="More steps, finer detail.")
    guidance_scale: float = Field(default=1, ge=1, le=25, description="How closely to follow the prompt.")
    seed: Seed = None


STABLE_AUDIO_25 = Model(
    slug="stable-audio-2.5",
    endpoint="fal-ai/stable-audio-25/text-to-audio",
    title="Stable Audio 2.5, text to music",
    summary="Music and sounds from words, up to three minutes.",
    kind="audio",
    inputs=StableAudio25,
    output=Audio(
        extension="wav",
        seconds=lambda inputs: float(inputs.seconds_total),
        beside=seed_beside,
    ),
    price=flat(200, unit="audios"),
    typical_seconds=15,
    unsure=("the price: none was seen on a page of fal's",),
)
