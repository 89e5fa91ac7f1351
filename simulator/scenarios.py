"""Parses scenarios: the faults that a client, a test or the control API requests for a job.

A scenario is written `name`, `name:choice` or `name:number`, then optionally `x2` for "only the first two times" and
`@1` for "only the second output (counted from 0)": `slow:5`, `cdn:503x2@1`. The names are in scenario_table.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from simulator.scenario_table import SCENARIO_TYPES, ScenarioType

BY_NAME: Mapping[str, ScenarioType] = {scenario_type.name: scenario_type for scenario_type in SCENARIO_TYPES}

# Name and value match as little as possible, so that a suffix is not taken for their end: `503x2` is 503, twice.
PATTERN = re.compile(r"(?P<name>\w+?)(:(?P<value>[^\s\[\]@]+?))?(x(?P<times>\d{1,6}))?(@(?P<index>\d{1,3}))?")


class UnknownScenario(ValueError):
    """The scenario does not exist, or does not take this value."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One scenario, parsed."""

    name: str
    choice: str = ""
    """The choice, or host:port of a scenario that takes an address."""
    number: float = 0
    times: int | None = None
    """How often it happens; None for always."""
    index: int | None = None
    """The output that it applies to; None for all."""
    text: str
    """As it was written. Parsing it again gives the same scenario."""

    def applies_to(self, index: int) -> bool:
        """Return whether the scenario applies to the output at this position."""
        return self.index is None or self.index == index

    def happens_after(self, earlier: int) -> bool:
        """Return whether the scenario happens once more after `earlier` times."""
        return self.times is None or earlier < self.times


@dataclass(frozen=True)
class Plan:
    """All scenarios that apply to one submission, in the order in which they were found."""

    scenarios: tuple[Scenario, ...] = ()

    def all(self, name: str) -> Iterator[Scenario]:
        """Yield the scenarios of this name."""
        return (scenario for scenario in self.scenarios if scenario.name == name)

    def get(self, name: str) -> Scenario | None:
        """Return the first scenario of this name."""
        return next(self.all(name), None)

    def has(self, name: str, choice: str | None = None) -> bool:
        """Return whether there is a scenario of this name, and of this choice if one is given."""
        return any(choice is None or scenario.choice == choice for scenario in self.all(name))

    def choices(self, name: str) -> list[str]:
        """Return the choices of the scenarios of this name."""
        return [scenario.choice for scenario in self.all(name)]

    def number(self, name: str, default: float) -> float:
        """Return the number of the first scenario of this name, or the default."""
        scenario = self.get(name)
        return default if scenario is None else scenario.number

    def after(self, earlier: int) -> Plan:
        """Return the scenarios that happen once more after `earlier` times."""
        return Plan(tuple(scenario for scenario in self.scenarios if scenario.happens_after(earlier)))

    def __add__(self, other: Plan) -> Plan:
        return Plan(self.scenarios + other.scenarios)

    def __str__(self) -> str:
        return " ".join(scenario.text for scenario in self.scenarios)


def parse(text: str) -> Plan:
    """Parse scenarios separated by spaces or brackets. Raises UnknownScenario."""
    return Plan(tuple(map(_parse_one, text.replace("[", " ").replace("]", " ").split())))


def find_in(inputs: Any) -> Plan:
    """Return the scenarios in brackets in the text inputs of a job. Other text in brackets is ignored."""
    found: list[Scenario] = []
    if not isinstance(inputs, Mapping):
        return Plan()
    for value in inputs.values():
        if not isinstance(value, str):
            continue
        # URLs are searched too, percent-decoded: models without a prompt take https://example.com/[fail].png.
        for text in re.findall(r"\[([^\[\]\s]{1,80})\]", unquote(value)):
            try:
                found.append(_parse_one(text))
            except UnknownScenario:
                continue
    return Plan(tuple(found))


def _parse_one(text: str) -> Scenario:
    match = PATTERN.fullmatch(text)
    scenario_type = BY_NAME.get(match["name"]) if match else None
    if match is None or scenario_type is None:
        raise UnknownScenario(f"There is no scenario “{text}”. Scenarios: {', '.join(BY_NAME)}.")
    # The original text is kept, because faults are counted by it and the log stores it.
    choice, number = _parse_value(scenario_type, match["value"], text)
    return Scenario(
        name=scenario_type.name,
        choice=choice,
        number=number,
        times=int(match["times"]) if match["times"] else None,
        index=int(match["index"]) if match["index"] else None,
        text=text,
    )


def _parse_value(scenario_type: ScenarioType, value: str | None, text: str) -> tuple[str, float]:
    """Return choice and number of the part after the colon; what does not apply is empty or 0."""
    if scenario_type.number is not None:
        if value is None:
            return "", scenario_type.number
        if not re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value):
            raise UnknownScenario(f"“{text}” takes a number of at most six digits after the colon.")
        return "", float(value)
    if scenario_type.is_address:
        if value is not None and not re.fullmatch(r"[a-zA-Z0-9.-]+:\d{1,5}", value):
            raise UnknownScenario(f"“{text}” takes host:port after the colon.")
        return value or "", 0
    if value is None:
        return next(iter(scenario_type.choices), ""), 0
    if value not in scenario_type.choices:
        choices = ", ".join(scenario_type.choices) or "none"
        raise UnknownScenario(f"“{text}”: “{scenario_type.name}” has no “{value}”. Choices: {choices}.")
    return value, 0
