"""Outputs on their way into storage: which files are paid for, and that only verified files are delivered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage

from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.lifecycle import StoredFile
from generations.models import Event, FailureCode, Generation, Output, Phase, Status, Submission
from generations.workers import copier
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.clocks import just_passed
from tests.helpers.lifecycle_facts import reach_waiting, rows
from tests.helpers.outages import let_patience_end

pytestmark = pytest.mark.django_db(transaction=True)

FILE = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")

# --- Verification ---


class TruncatingStorage(FileSystemStorage):
    """Has lost the last byte of every file, without an error."""

    def open(self, name: str, mode: str = "rb") -> File[Any]:
        with super().open(name, mode) as file:
            return ContentFile(file.read()[:-1])


class CorruptingStorage(FileSystemStorage):
    """Has changed the last byte of every file, without an error."""

    def open(self, name: str, mode: str = "rb") -> File[Any]:
        with super().open(name, mode) as file:
            return ContentFile(file.read()[:-1] + b"?")


@pytest.mark.parametrize("storage", [TruncatingStorage, CorruptingStorage])
def test_c23_a_file_that_is_stored_wrong_is_stored_again_and_never_delivered(
    storage: type[FileSystemStorage], settings, tmp_path, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    backend = {"BACKEND": f"{__name__}.{storage.__name__}", "OPTIONS": {"location": tmp_path, "allow_overwrite": True}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}

    generation = order()
    work.until(lambda: Output.objects.filter(attempts__gte=8).exists())
    assert Output.objects.get().state == Output.State.PENDING
    Output.objects.update(give_up_at=just_passed())
    let_patience_end(copier.PATIENCE)

    work.until_done(generation)

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.INTERNAL_ERROR, 1000, 0)


def test_c4_a_file_that_is_not_as_long_as_fal_announced_is_not_stored(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(Output.objects.exists)
    Output.objects.update(claimed_size_bytes=7)

    work.copy()

    assert Output.objects.get().state == Output.State.PENDING
    assert Generation.objects.get(pk=generation.pk).phase == Phase.STORING


# --- What is charged ---


def answer_and_claim(submission: Submission, answer: dict[str, Any]) -> list[Output]:
    """Reports fal's answer, and leases its outputs as a copier does."""
    lifecycle.answered(submission, answer)
    return sorted(leases.claim(Output.objects.all(), limit=9, seconds=30), key=lambda output: output.index)


def claimed_outputs(order: PlaceOrder, *, files: int, images: int = 1, **details: Any) -> list[Output]:
    """The leased outputs of an order for `images`, which fal has answered with `files`.

    Args:
        details: What fal reports about each file, such as its `duration`.
    """
    generation = order(prompt="a cat", num_images=images)
    lifecycle.submitting(generation)
    urls = [f"https://v3.fal.media/{index}.png" for index in range(files)]
    return answer_and_claim(generation.submissions.get(), {"images": [{"url": url, **details} for url in urls]})


def end_copies(outputs: list[Output], *, stored: int) -> None:
    """Reports the first `stored` outputs as stored, and the others as lost."""
    for output in outputs[:stored]:
        lifecycle.stored(output, FILE)
    for output in outputs[stored:]:
        lifecycle.output_lost(output, detail="gone")


@pytest.mark.parametrize(
    "images, files, stored, captured",
    [(1, 1, 1, 3), (1, 2, 1, 1), (1, 4, 3, 2), (1, 4, 1, 0), (2, 1, 1, 3), (4, 4, 1, 3), (1, 4, 4, 3)],
)
def test_d10_a_part_of_the_files_costs_a_part_of_the_price_rounded_down(
    images: int, files: int, stored: int, captured: int, alice: Account, order: PlaceOrder
) -> None:
    end_copies(claimed_outputs(order, files=files, images=images), stored=stored)

    generation = Generation.objects.get()
    alice.refresh_from_db()
    assert (generation.status, generation.captured) == (Status.COMPLETED, captured)
    assert (alice.balance, alice.held) == (1000 - captured, 0)


def test_a_lost_preview_does_not_reduce_the_price(order: PlaceOrder) -> None:
    generation = order("tripo-v2.5")
    lifecycle.submitting(generation)
    answer = {name: {"url": f"https://v3.fal.media/{name}"} for name in ("model_mesh", "rendered_image")}
    mesh, preview = answer_and_claim(generation.submissions.get(), answer)

    lifecycle.output_lost(preview, detail="gone")
    lifecycle.stored(mesh, FILE)

    generation.refresh_from_db()
    assert (mesh.counts, preview.counts) == (True, False)
    assert (generation.status, generation.captured) == (Status.COMPLETED, generation.credits)


def test_files_whose_role_is_unknown_count_as_paid(order: PlaceOrder) -> None:
    """fal may rename the files of a model."""
    submission = order().submissions.get()
    reach_waiting(submission)
    (output,) = answer_and_claim(submission, {"pictures": [{"url": "https://v3.fal.media/cat.png"}]})

    lifecycle.stored(output, FILE)

    assert Generation.objects.values_list("status", "captured").get() == (Status.COMPLETED, 3)


def test_a_generation_of_a_model_that_was_removed_is_delivered(order: PlaceOrder) -> None:
    submission = order().submissions.get()
    Generation.objects.update(model="no-longer-offered")
    reach_waiting(submission)

    (output,) = answer_and_claim(submission, {"images": [{"url": "https://v3.fal.media/cat.png"}]})
    lifecycle.stored(output, FILE)

    assert Generation.objects.values_list("status", "captured").get() == (Status.COMPLETED, 3)


@pytest.mark.parametrize("stored, note", [(2, ""), (1, "1 of 2 files were delivered")])
def test_the_timeline_says_how_many_files_were_delivered(stored: int, note: str, order: PlaceOrder) -> None:
    end_copies(claimed_outputs(order, files=2, images=2), stored=stored)

    assert Event.objects.latest("pk").note == note


# --- Copies ---


def test_a_generation_is_not_completed_while_an_output_is_pending(order: PlaceOrder) -> None:
    """I5."""
    first, second = claimed_outputs(order, files=2)

    lifecycle.stored(first, FILE)
    between = Generation.objects.get()
    lifecycle.stored(second, FILE)

    assert (between.phase, between.message) == (Phase.STORING, "Copying 2 of 2 files")
    assert Generation.objects.get().status == Status.COMPLETED


@pytest.mark.parametrize("measured, reported, kept", [(None, 4.0, 4.0), (5.0, 4.0, 5.0), (5.0, None, 5.0)])
def test_the_measured_duration_replaces_the_one_that_fal_reported(
    measured: float | None, reported: float | None, kept: float, order: PlaceOrder
) -> None:
    (output,) = claimed_outputs(order, files=1, duration=reported)
    lifecycle.not_copied(output, detail="the first attempt", missed=True)

    lifecycle.stored(output, replace(FILE, duration_seconds=measured))

    assert Output.objects.values_list("duration_seconds", "detail", "misses").get() == (kept, "", 1)


def test_a_failed_attempt_updates_the_copiers_output(order: PlaceOrder) -> None:
    """The copier decides by the number of misses whether it tries again."""
    (output,) = claimed_outputs(order, files=1)

    lifecycle.not_copied(output, detail="away", missed=False)
    lifecycle.not_copied(output, detail="gone", missed=True)

    assert (output.misses, output.detail) == (1, "gone")


def test_a_stored_output_stays_stored_when_its_generation_fails(order: PlaceOrder) -> None:
    first, _ = claimed_outputs(order, files=2)
    lifecycle.stored(first, FILE)

    lifecycle.failed(first.generation, lifecycle.failure(FailureCode.DEADLINE), actor="test")

    assert list(Output.objects.values_list("state", flat=True)) == ["stored", "lost"]


# --- Leases ---

REPORTS: dict[str, Callable[[Output], bool]] = {
    "stored": lambda output: lifecycle.stored(output, FILE),
    "output_lost": lambda output: lifecycle.output_lost(output, detail="gone"),
    "not_copied": lambda output: lifecycle.not_copied(output, detail="away", missed=True),
    "source_url_changed": lambda output: lifecycle.source_url_changed(
        output, source_url="https://v3.fal.media/b.png", claimed_size_bytes=9
    ),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_e3_only_the_holder_of_the_lease_reports_about_an_output(
    report: Callable[[Output], bool], order: PlaceOrder
) -> None:
    stale, _ = claimed_outputs(order, files=2)
    Output.objects.update(leased_until="2000-01-01T00:00:00Z")
    holder = next(row for row in leases.claim(Output.objects.all(), limit=9, seconds=30) if row == stale)
    before = rows()

    assert report(stale) is False
    assert rows() == before
    assert report(holder) is True


@pytest.mark.parametrize("end", ["stored", "output_lost"])
def test_no_report_changes_an_output_that_is_stored_or_lost(end: str, order: PlaceOrder) -> None:
    output, _ = claimed_outputs(order, files=2)
    REPORTS[end](output)
    before = rows()

    assert [report(output) for report in REPORTS.values()] == [False] * len(REPORTS)
    assert rows() == before


def test_a_changed_source_url_is_recorded_with_its_size(order: PlaceOrder) -> None:
    (output,) = claimed_outputs(order, files=1)

    REPORTS["source_url_changed"](output)

    assert Output.objects.values_list("source_url", "claimed_size_bytes").get() == ("https://v3.fal.media/b.png", 9)
