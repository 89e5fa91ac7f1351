"""Bugs that complete a generation without its files, do not verify a file, or store it elsewhere with each attempt."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode, ReplaceText

COPIER = "generations.workers.copier"
ANSWERING = "generations.lifecycle.answering"
STORING = "generations.lifecycle.storing"

BUGS = (
    Bug(
        number="9",
        sentence="A worker that has lost its lease writes to the key of the one that holds it",
        changes=(
            ReplaceCode(
                module=COPIER,
                old='f"{output.place_of(output.lease)}.{extension}"',
                new='f"generations/{output.generation_id}/{output.index}.{extension}"',
            ),
        ),
        caught_by=("test_c25_the_row_names_the_file_of_the_attempt_that_held_the_lease",),
    ),
    Bug(
        number="10a",
        sentence="A generation is completed when fal has answered, before any file is copied",
        changes=(
            ReplaceCode(
                module=ANSWERING,
                within="answer_locked",
                old="return True",
                new="return complete(generation, promised=len(files), delivered=len(files), flagged=0)",
                imports="from generations.lifecycle.ending import complete",
            ),
        ),
        caught_by=("test_a_genuine_callback_is_applied", "test_c23_the_bucket_holds_exactly_the_outputs"),
    ),
    Bug(
        number="10b",
        sentence="A generation is completed when the first of several files is copied",
        changes=(ReplaceText(module=STORING, old="if outputs.pending:", new="if outputs.pending == outputs.total:"),),
        caught_by=("test_a_generation_is_not_completed_while_an_output_is_pending",),
    ),
    Bug(
        number="11a",
        sentence="The stored file is not compared with what was sent",
        changes=(
            ReplaceCode(
                module="generations.files.storage",
                old="measure(key) != Measured(size_bytes=spool.size_bytes, sha256=spool.digest.hex())",
                new="not measure(key).size_bytes",
            ),
        ),
        caught_by=("test_c23_a_file_that_is_stored_wrong_is_stored_again_and_never_delivered",),
    ),
    Bug(
        number="11b",
        sentence="The downloaded file is not compared with the size that fal announced",
        changes=(
            ReplaceCode(
                module=COPIER,
                old="output.claimed_size_bytes != spool.size_bytes",
                new="False",
            ),
        ),
        caught_by=("test_c4_a_file_that_is_not_as_long_as_fal_announced_is_not_stored",),
    ),
)
