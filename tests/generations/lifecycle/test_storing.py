"""What the lifecycle makes of files: which count, what they cost, and that storage is not believed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import IO, Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage

from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.lifecycle import StoredFile
from generations.models import Event, FailureCode, Generation, Output, Phase, Status, Submission
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.lifecycle_facts import reach_waiting, rows

pytestmark = pytest.mark.django_db(transaction=True)

FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")


class Forgetful(FileSystemStorage):
    """Loses the end of what it is given, and does not say so."""

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        return super().save(name, ContentFile(content.read()[:-1]), max_length)


class Mistaken(FileSystemStorage):
    """Keeps as many bytes as it is given, but others."""

    def save(self, name: str | None, content: IO[Any], max_length: int | None = None) -> str:
        return super().save(name, ContentFile(content.read()[:-1] + b"?"), max_length)


@pytest.mark.parametrize("kind", [Forgetful, Mistaken])
def test_c23_a_storage_that_keeps_other_bytes_delivers_nothing(
    kind: type[FileSystemStorage], settings, tmp_path, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    backend = {"BACKEND": f"{__name__}.{kind.__name__}", "OPTIONS": {"location": tmp_path, "allow_overwrite": True}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}

    generation = work.until_done(order())

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)


def test_c4_a_file_of_another_size_than_fal_announced_is_not_taken(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(Output.objects.exists)
    Output.objects.update(claimed_size_bytes=7)

    work.copy()

    assert Output.objects.get().state == Output.State.PENDING
    assert Generation.objects.get(pk=generation.pk).phase == Phase.STORING


def copying(order: PlaceOrder, *, files: int, images: int = 1, **said: Any) -> list[Output]:
    """An order that fal has answered with so many files, each in our hands; what it has `said` of each."""
    generation = order(prompt="a cat", num_images=images)
    urls = [f"https://v3.fal.media/{index}.png" for index in range(files)]
    return answered(generation, {"images": [{"url": url, **said} for url in urls]})


def answered(generation: Generation, answer: dict[str, Any]) -> list[Output]:
    lifecycle.submitting(generation)
    return outputs_of(generation.submissions.get(), answer)


def outputs_of(attempt: Submission, answer: dict[str, Any]) -> list[Output]:
    """What fal has answered, each in our hands."""
    lifecycle.answered(attempt, answer)
    return sorted(leases.claim(Output.objects.all(), limit=9, seconds=30), key=lambda output: output.index)


@pytest.mark.parametrize(
    "images, files, stored, captured",
    [(1, 1, 1, 3), (1, 2, 1, 1), (1, 4, 3, 2), (1, 4, 1, 0), (2, 1, 1, 3), (4, 4, 1, 3), (1, 4, 4, 3)],
)
def test_d10_a_part_of_the_files_costs_a_part_of_the_price_rounded_down(
    images: int, files: int, stored: int, captured: int, alice: Account, order: PlaceOrder
) -> None:
    for output in (outputs := copying(order, files=files, images=images))[:stored]:
        lifecycle.stored(output, FILE)
    for output in outputs[stored:]:
        lifecycle.output_lost(output, detail="gone")

    generation = Generation.objects.get()
    alice.refresh_from_db()
    assert (generation.status, generation.captured) == (Status.COMPLETED, captured)
    assert (alice.balance, alice.held) == (1000 - captured, 0)


def test_a_preview_that_does_not_come_takes_nothing_from_what_was_paid_for(order: PlaceOrder) -> None:
    generation = order("tripo-v2.5")
    answer = {name: {"url": f"https://v3.fal.media/{name}"} for name in ("model_mesh", "rendered_image")}
    mesh, preview = answered(generation, answer)

    lifecycle.output_lost(preview, detail="gone")
    lifecycle.stored(mesh, FILE)

    generation.refresh_from_db()
    assert (mesh.counts, preview.counts) == (True, False)
    assert (generation.status, generation.captured) == (Status.COMPLETED, generation.credits)


def test_files_that_fal_suddenly_names_otherwise_are_what_was_paid_for(order: PlaceOrder) -> None:
    (output,) = answered(order(), {"pictures": [{"url": "https://v3.fal.media/cat.png"}]})

    lifecycle.stored(output, FILE)

    assert Generation.objects.values_list("status", "captured").get() == (Status.COMPLETED, 3)


def test_an_order_whose_declaration_is_gone_by_now_is_delivered(order: PlaceOrder) -> None:
    generation = order()
    Generation.objects.update(model="no-longer-offered")
    (attempt,) = generation.submissions.all()
    reach_waiting(attempt)

    (output,) = outputs_of(attempt, {"images": [{"url": "https://v3.fal.media/cat.png"}]})
    lifecycle.stored(output, FILE)

    assert Generation.objects.values_list("status", "captured").get() == (Status.COMPLETED, 3)


@pytest.mark.parametrize("stored, remark", [(2, ""), (1, "1 of 2 files were delivered")])
def test_the_timeline_says_how_many_files_were_delivered(stored: int, remark: str, order: PlaceOrder) -> None:
    outputs = copying(order, files=2, images=2)

    for output in outputs[:stored]:
        lifecycle.stored(output, FILE)
    for output in outputs[stored:]:
        lifecycle.output_lost(output, detail="gone")

    assert Event.objects.latest("pk").note == remark


@pytest.mark.parametrize("measured, said, kept", [(None, 4.0, 4.0), (5.0, 4.0, 5.0), (5.0, None, 5.0)])
def test_how_long_it_plays_is_measured_or_else_what_fal_said(
    measured: float | None, said: float | None, kept: float, order: PlaceOrder
) -> None:
    (output,) = copying(order, files=1, duration=said)
    lifecycle.not_copied(output, detail="the first time", missed=True)

    lifecycle.stored(output, replace(FILE, duration_seconds=measured))

    assert Output.objects.values_list("duration_seconds", "detail", "misses").get() == (kept, "", 1)


SAYINGS: dict[str, Callable[[Output], bool]] = {
    "stored": lambda output: lifecycle.stored(output, FILE),
    "lost": lambda output: lifecycle.output_lost(output, detail="gone"),
    "not copied": lambda output: lifecycle.not_copied(output, detail="away", missed=True),
    "moved": lambda output: lifecycle.source_url_changed(
        output, source_url="https://v3.fal.media/b.png", claimed_size_bytes=9
    ),
}


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS)
def test_e3_of_a_file_only_the_holder_of_its_lease_is_heard(say: Callable[[Output], bool], order: PlaceOrder) -> None:
    slept, _ = copying(order, files=2)
    Output.objects.update(leased_until="2000-01-01T00:00:00Z")
    awake = next(row for row in leases.claim(Output.objects.all(), limit=9, seconds=30) if row == slept)
    before = rows()

    assert say(slept) is False
    assert rows() == before
    assert say(awake) is True


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS)
@pytest.mark.parametrize("end", ["stored", "lost"])
def test_what_has_come_or_is_lost_stays_so(end: str, say: Callable[[Output], bool], order: PlaceOrder) -> None:
    output, _ = copying(order, files=2)
    SAYINGS[end](output)
    before = rows()

    assert say(output) is False
    assert rows() == before


def test_a_file_that_has_moved_is_fetched_from_there(order: PlaceOrder) -> None:
    (output,) = copying(order, files=1)

    SAYINGS["moved"](output)

    assert Output.objects.values_list("source_url", "claimed_size_bytes").get() == ("https://v3.fal.media/b.png", 9)


def test_who_copies_knows_how_often_it_went_wrong(order: PlaceOrder) -> None:
    (output,) = copying(order, files=1)

    lifecycle.not_copied(output, detail="away", missed=False)
    lifecycle.not_copied(output, detail="gone", missed=True)

    assert (output.misses, output.detail) == (1, "gone")


def test_what_is_stored_stays_stored_when_the_whole_fails(order: PlaceOrder) -> None:
    first, _ = copying(order, files=2)
    lifecycle.stored(first, FILE)

    lifecycle.failed(first.generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert list(Output.objects.values_list("state", flat=True)) == ["stored", "lost"]


def test_nothing_is_completed_while_a_file_is_on_its_way(order: PlaceOrder) -> None:
    """I5."""
    first, second = copying(order, files=2)

    lifecycle.stored(first, FILE)
    between = Generation.objects.get()
    lifecycle.stored(second, FILE)

    assert (between.phase, between.message) == (Phase.STORING, "Copying 2 of 2 files")
    assert Generation.objects.get().status == Status.COMPLETED
