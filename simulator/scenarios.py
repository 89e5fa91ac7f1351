"""What can go wrong, and how to ask for it: one table of words, read by the parser, the page and the docs.

A scenario is written `word`, `word:choice` or `word:number`, then `x2` for "only the first two times"
and `@1` for "only the second output": `slow:5`, `cdn:503x2@1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from simulator.error_types import ERRORS


@dataclass(frozen=True, kw_only=True)
class Word:
    """One line of the table."""

    name: str
    group: str
    sentence: str
    number: float | None = None
    """The default of a word that takes a number."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Each choice with its sentence. The first one is meant where none is named."""
    is_address: bool = False
    """Whether host:port may stand after the colon."""


def _word(group: str, name: str, sentence: str, **details: Any) -> Word:
    return Word(name=name, group=group, sentence=sentence, **details)


REFUSALS = {
    "400": "Bad request.",
    "401": "The key is not known.",
    "402": "Payment is required.",
    "403": "The account is locked: the balance is exhausted.",
    "404": "There is no such model.",
    "408": "The request timed out at the gateway.",
    "409": "There is a conflict.",
    "422": "The input is refused at once.",
    "425": "Too early.",
    "429": "Too many requests, without a hint when to come again.",
    "429-retry-after": "Too many requests; come again in a second.",
    "500": "fal fails, and gives the request's id.",
    "500-bare": "fal fails, without an id.",
    "502": "nginx's HTML page, without an id.",
    "503": "fal is unavailable, and gives the request's id.",
    "503-bare": "fal is unavailable, without an id.",
    "503-nginx": "nginx's HTML page, without an id.",
    "504": "fal's gateway timed out, and gives the request's id.",
    "504-bare": "fal's gateway timed out, without an id.",
    "504-nginx": "nginx's HTML page, without an id.",
}
GARBAGE = {
    "json": "Not JSON at all.",
    "html": "An HTML page.",
    "no_request_id": "JSON without a request id.",
    "big": "Ten megabytes of JSON.",
    "wrong_host": "The addresses in the answer name another host.",
}
CALLBACKS = {
    "lost": "It never comes.",
    "late": "It comes after a minute.",
    "double": "It comes twice at once.",
    "again_late": "It comes, and once more a minute later.",
    "early": "It comes before the answer to the submit is sent.",
    "forged": "Signed with a key that fal does not publish. The true one never comes.",
    "wrong_account": "Truly signed, for another fal customer. The true one never comes.",
    "mismatch": "The signed header names another request than the body. The true one never comes.",
    "stale": "Truly signed, a thousand seconds ago. The true one never comes.",
    "null_payload": "OK, with a null payload and a payload_error: the result must be fetched.",
    "error_null_payload": "ERROR, with a null payload and a payload_error.",
    "reordered": "It comes only after the next request's callback, or after half a minute.",
    "contradictory": "OK first, and ERROR a second later.",
    "garbage": "Truly signed, but the body is not JSON. The true one never comes.",
}
OUTPUTS = {
    "fewer": "One file less than was ordered.",
    "more": "One file more than was ordered.",
    "zero": "No file at all.",
    "evil_output_url": "The address names another host.",
    "data_uri": "The file stands in the answer itself, as a data: address.",
    "nested": "The files stand deeper in the answer than they should.",
}
CDN = {
    "403": "Forbidden.",
    "404": "Not found.",
    "410": "Gone.",
    "429": "Too many requests; come again in a second.",
    "500": "The CDN fails.",
    "503": "The CDN is unavailable.",
    "truncated": "Half of the bytes, though the Content-Length is right.",
    "cut_nolen": "Half of the bytes, without a Content-Length.",
    "endless": "The bytes never end.",
    "drip": "A byte every 0.3 seconds.",
    "html": "An HTML page, called image/png.",
    "bomb": "A hundred megabytes of zeros, packed with gzip.",
    "redirect": "A redirect to another host.",
    "wrong_type": "The right bytes, called text/html.",
    "huge": "Five gigabytes are declared.",
    "expires": "The file is gone five seconds after the job is done.",
}
CANCELS = {
    "ok": "Removed from the queue: 200.",
    "completes_anyway": "Requested: 202, but the job goes on to its end.",
    "cancelled": "Requested: 202, and the job stops half a second later.",
    "already_completed": "Too late: 400.",
    "404": "fal does not know the request.",
}

BILLS = {
    "double": "Twice as much as it should be.",
    "missing": "Not on the bill at all.",
    "foreign": "Beside it, the bill names a request that nobody here made.",
    "failed": "A failure is billed like a success.",
}

VOCABULARY: tuple[Word, ...] = (
    _word("life", "slow", "Runs for so many seconds (20).", number=20),
    _word("life", "hold", "Runs until somebody finishes it."),
    _word("life", "queue", "So many requests are ahead (8), a second each.", number=8),
    _word(
        "verdict",
        "fail",
        "Fails with one of fal's error types.",
        choices={name: f"HTTP {kind.status}: {kind.message}." for name, kind in ERRORS.items()},
    ),
    _word("verdict", "nsfw", "OK, with black images and has_nsfw_concepts true."),
    _word("submit", "status", "Refused at once.", choices=REFUSALS),
    _word("submit", "drop_before_accept", "The connection closes; fal has not taken the job."),
    _word("submit", "drop_after_accept", "fal takes the job, then the connection closes without an answer."),
    _word("submit", "hang_after_accept", "fal takes the job, then never answers."),
    _word("submit", "reset", "The connection is torn down; fal has not taken the job."),
    _word("submit", "slow_accept", "Takes the job after so many seconds (30).", number=30),
    _word("submit", "drip", "The answer comes a byte every 0.3 seconds."),
    _word("submit", "garbage200", "fal takes the job, but the answer is of no use.", choices=GARBAGE),
    _word("submit", "redirect", "Redirected (307) to this host:port, or to the canary.", is_address=True),
    _word(
        "status",
        "poll",
        "A fault of the status address.",
        choices={
            "404": "fal does not know the request.",
            "500": "fal fails.",
            "unknown": "A status word that nobody has documented.",
            "back_to_queue": "Once in progress, it says that the request waits again.",
        },
    ),
    _word(
        "result",
        "result",
        "A fault of the result address.",
        choices={
            "404": "The result is not to be found.",
            "410": "The result has expired.",
            "504": "The gateway times out once; the next try is answered.",
            "completed_with_error": "The job failed and no callback says so: the status does, COMPLETED with an error.",
        },
    ),
    _word("callback", "callback", "A fault of the callback.", choices=CALLBACKS),
    _word("outputs", "outputs", "Other files than were ordered.", choices=OUTPUTS),
    _word("cdn", "cdn", "A fault of the file server.", choices=CDN),
    _word("cancel", "cancel", "How fal answers a cancel.", choices=CANCELS),
    _word("bill", "bill", "A fault of the bill.", choices=BILLS),
)
WORDS: Mapping[str, Word] = {word.name: word for word in VOCABULARY}

PATTERN = re.compile(r"(?P<word>\w+?)(:(?P<value>[^\s\[\]@]+?))?(x(?P<times>\d{1,6}))?(@(?P<index>\d{1,3}))?")


class UnknownScenario(ValueError):
    """There is no such scenario."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One word as somebody wrote it."""

    word: str
    choice: str = ""
    number: float = 0
    times: int | None = None
    index: int | None = None
    written: str

    def covers(self, index: int) -> bool:
        """Whether it is meant for this output."""
        return self.index is None or self.index == index

    def lasts(self, earlier: int) -> bool:
        """Whether it still happens after so many earlier times."""
        return self.times is None or earlier < self.times


@dataclass(frozen=True)
class Plan:
    """What shall happen to one request."""

    scenarios: tuple[Scenario, ...] = ()

    def all(self, word: str) -> Iterator[Scenario]:
        return (scenario for scenario in self.scenarios if scenario.word == word)

    def get(self, word: str) -> Scenario | None:
        return next(self.all(word), None)

    def has(self, word: str, choice: str | None = None) -> bool:
        return any(choice is None or scenario.choice == choice for scenario in self.all(word))

    def choices(self, word: str) -> list[str]:
        return [scenario.choice for scenario in self.all(word)]

    def number(self, word: str, default: float) -> float:
        scenario = self.get(word)
        return default if scenario is None else scenario.number

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.scenarios + other.scenarios)

    def __str__(self) -> str:
        return " ".join(scenario.written for scenario in self.scenarios)


def read(text: str) -> Plan:
    """A list of scenarios, separated by spaces or written in brackets. Raises UnknownScenario."""
    return Plan(tuple(map(_scenario, text.replace("[", " ").replace("]", " ").split())))


def found_in(inputs: Any) -> Plan:
    """The scenarios in an order's texts. Brackets that hold anything else are just text."""
    found = []
    for text in _texts(inputs):
        for written in re.findall(r"\[([^\[\]\s]{1,80})\]", text):
            try:
                found.append(_scenario(written))
            except UnknownScenario:
                continue
    return Plan(tuple(found))


def _texts(inputs: Any) -> Iterator[str]:
    # Addresses too: some models take no prompt, and https://example.com/[fail].png says it as well.
    if isinstance(inputs, Mapping):
        yield from (unquote(value) for value in inputs.values() if isinstance(value, str))


def _scenario(written: str) -> Scenario:
    match = PATTERN.fullmatch(written)
    word = WORDS.get(match["word"]) if match else None
    if match is None or word is None:
        raise UnknownScenario(f"There is no scenario “{written}”. Words: {', '.join(WORDS)}.")
    choice, number = _value(word, match["value"], written)
    return Scenario(
        word=word.name,
        choice=choice,
        number=number,
        times=int(match["times"]) if match["times"] else None,
        index=int(match["index"]) if match["index"] else None,
        written=written,
    )


def _value(word: Word, value: str | None, written: str) -> tuple[str, float]:
    if word.number is not None:
        return "", _number(word.number, value, written)
    if word.is_address:
        return _address(value, written), 0
    if value is None:
        return next(iter(word.choices), ""), 0
    if value not in word.choices:
        offer = ", ".join(word.choices) or "none"
        raise UnknownScenario(f"“{written}”: “{word.name}” has no “{value}”. Choices: {offer}.")
    return value, 0


def _address(value: str | None, written: str) -> str:
    if value is not None and not re.fullmatch(r"[a-zA-Z0-9.-]+:\d{1,5}", value):
        raise UnknownScenario(f"“{written}” takes host:port after the colon.")
    return value or ""


def _number(default: float, value: str | None, written: str) -> float:
    if value is None:
        return default
    if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value):
        raise UnknownScenario(f"“{written}” takes a number of at most six digits after the colon.")
    return float(value)
