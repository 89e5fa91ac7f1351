"""What one load client was told of its generations. An answer that contradicts an earlier one is a violation (I10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quality.chaos.api_client import Answer
from quality.chaos.counters import Counters
from quality.chaos.losses import Content

FINAL_STATUSES = ("completed", "failed")


@dataclass
class KnownGenerations:
    """The latest state of each generation, as the API has shown it."""

    counters: Counters
    unfinished: list[str] = field(default_factory=list)
    """Ids of the generations that have not been seen to end."""
    finished: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The final state of each finished generation, as the API showed it first."""
    versions: dict[str, int] = field(default_factory=dict)
    """The highest version that was shown of each generation."""
    finished_request_ids: dict[str, str] = field(default_factory=dict)
    """fal's request id of finished generations, for the replayer."""
    images: dict[str, str] = field(default_factory=dict)
    """The generation of each image that can be edited, by the id of the output."""
    erased: set[str] = field(default_factory=set)

    def observe(self, answer: Answer | None) -> None:
        """Compare what the API shows of a generation with what it showed before."""
        if answer is None or not answer.id:
            return
        # Each change raises the version by one, so a lower version is an older state.
        before, version = self.versions.get(answer.id, 0), int(answer.body["version"])
        self.versions[answer.id] = max(before, version)
        if version < before:
            self.counters.add_violation("I10", f"{answer.id} went back from version {before} to {version}")
        if answer.id in self.finished:
            known, shown = self.finished[answer.id], _final_state(answer.body)
            if known != shown:
                self.counters.add_violation("I10", f"{answer.id} was {known} and is {shown}")
        elif answer.body["status"] in FINAL_STATUSES and answer.id not in self.erased:
            self.finished[answer.id] = _final_state(answer.body)
            self.counters.count_event(f"seen {answer.body['status']}")
            images = [output["id"] for output in answer.body.get("outputs", []) if output["kind"] == "image"]
            self.images |= dict.fromkeys(images, answer.id)
            # The answer to an order can show the end already.
            if answer.id in self.unfinished:
                self.unfinished.remove(answer.id)
            if answer.body.get("fal_request_id"):
                self.finished_request_ids[answer.id] = str(answer.body["fal_request_id"])

    def forget_erased(self, generation_id: str) -> None:
        """Compare an erased generation no longer."""
        self.erased.add(generation_id)
        del self.finished[generation_id]
        self.finished_request_ids.pop(generation_id, None)
        self.images = {pk: generation for pk, generation in self.images.items() if generation != generation_id}

    def forget_lost(self, restored: Content) -> None:
        """Forget what a restore of the database has undone. Called while the gate is closed."""
        known = self.versions.keys() & restored.versions.keys()
        self.versions = {pk: restored.versions[pk] for pk in known}
        still_finished = {pk for pk, shown in self.finished.items() if self.versions.get(pk) == shown["version"]}
        self.finished = {pk: shown for pk, shown in self.finished.items() if pk in still_finished}
        # What had ended may be in progress again.
        self.unfinished = [pk for pk in known if pk not in still_finished]
        self.finished_request_ids = {pk: name for pk, name in self.finished_request_ids.items() if pk in still_finished}
        self.images = {pk: generation for pk, generation in self.images.items() if pk in restored.outputs}
        self.erased &= known - set(self.unfinished)


def _final_state(body: Mapping[str, Any]) -> dict[str, Any]:
    outputs = [(output["index"], output["size"], output["sha256"]) for output in body.get("outputs", [])]
    return {"status": body["status"], "version": body["version"], "outputs": outputs, "error": body.get("error")}
