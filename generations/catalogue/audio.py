"""Models that make audio: speech and music."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from generations.catalogue.declaration import Inputs, Model
from generations.catalogue.fields import Prompt, Seed, prompt_field
from generations.catalogue.outputs import Audio, seed_extra
from generations.catalogue.prices import flat, per_thousand_characters

# A rough rate of reading aloud. It is used for the expected length and the simulated answer, never for a price.
CHARACTERS_PER_SECOND = 15


class ElevenV3(Inputs):
    text: str = prompt_field("The text to read aloud.", characters_max=3_000)
    voice: str = Field(
        default="Rachel",
        min_length=1,
        max_length=100,
        description="Rachel, Aria, Roger, Sarah, Charlie … or the ID of a voice at ElevenLabs.",
    )
    stability: float = Field(
        default=0.5, ge=0, le=1, description="How even the voice is. Lower values are more expressive."
    )
    language_code: str | None = Field(
        default=None, min_length=2, max_length=2, description="A two-letter code, such as “de”, to force a language."
    )
    apply_text_normalization: Literal["auto", "on", "off"] = Field(default="auto", description="Spell out numbers.")
    timestamps: bool = Field(default=False, description="Return the time of each word in the details.")


def seconds_of_speech(inputs: Any) -> float | None:
    text = getattr(inputs, "text", None)
    return None if text is None else max(1.0, len(text) / CHARACTERS_PER_SECOND)


def speech_extras(inputs: Any) -> dict[str, Any]:
    if not inputs.timestamps:
        return {}
    entries = []
    for word in re.finditer(r"\S+", inputs.text):
        start, end = (round(position / CHARACTERS_PER_SECOND, 3) for position in word.span())
        entries.append({"text": word[0], "start": start, "end": end})
    return {"timestamps": entries}


ELEVEN_V3 = Model(
    slug="eleven-v3",
    endpoint="fal-ai/elevenlabs/tts/eleven-v3",
    title="Eleven v3, text to speech",
    summary="Expressive speech in more than seventy languages.",
    kind="audio",
    inputs=ElevenV3,
    output=Audio(extension="mp3", seconds=seconds_of_speech, extras=speech_extras),
    price=per_thousand_characters(100, of="text"),
    typical_seconds=8,
    unsure=(
        "the limit of 3,000 characters: third-party documentation",
        "whether fal bills characters or whole thousands of them",
        "the entries of timestamps: fal's document only says “a list, for each word”",
    ),
)


class StableAudio25(Inputs):
    prompt: Prompt
    seconds_total: int = Field(default=30, ge=1, le=190, description="The length in seconds.")
    num_inference_steps: int = Field(default=8, ge=4, le=8, description="More steps give finer detail and take longer.")
    guidance_scale: float = Field(default=1, ge=1, le=25, description="How closely to follow the prompt.")
    seed: Seed = None


STABLE_AUDIO_25 = Model(
    slug="stable-audio-2.5",
    endpoint="fal-ai/stable-audio-25/text-to-audio",
    title="Stable Audio 2.5, text to music",
    summary="Music and sound effects from text, up to three minutes.",
    kind="audio",
    inputs=StableAudio25,
    output=Audio(
        extension="wav",
        seconds=lambda inputs: float(inputs.seconds_total),
        extras=seed_extra,
    ),
    price=flat(200, unit="audios"),
    typical_seconds=15,
    unsure=("the price: not found on a page of fal",),
)
