"""Files that were never copied, not looked at, or lie somewhere else each time."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug, Replaced

COPYING = "tests/generations/workers/test_copier.py"
STORING = "tests/generations/lifecycle/test_storing.py"

BUGS = (
    Bug(
        number="9",
        sentence="Every retry writes to a new object key",
        changes=(
            Replaced(
                file="generations/workers/copier.py",
                old='f"generations/{output.generation_id}/{output.index}.{extension}"',
                new='f"generations/{output.generation_id}/{output.lease}.{extension}"',
            ),
        ),
        caught_by=(f"{COPYING}::test_c25_a_crash_between_put_and_commit_leaves_no_second_object",),
    ),
    Bug(
        number="10a",
        sentence="Completed as soon as fal has answered, before anything is copied",
        changes=(
            Replaced(
                file="generations/lifecycle/answering.py",
                old='    note(generation, "answered", actor="fal", note=message)\n    return True',
                new='    note(generation, "answered", actor="fal", note=message)\n'
                "    return completed(generation, promised=len(files), delivered=len(files), flagged=0)",
            ),
            Replaced(
                file="generations/lifecycle/answering.py",
                old="from generations.lifecycle.ending import not_made",
                new="from generations.lifecycle.ending import completed, not_made",
            ),
        ),
        caught_by=(
            "tests/generations/callbacks/test_callbacks.py::test_a_true_callback_is_heard",
            f"{COPYING}::test_c23_what_lies_in_the_bucket_is_what_fal_served",
        ),
    ),
    Bug(
        number="10b",
        sentence="Completed as soon as the first of several files is copied",
        changes=(
            Replaced(
                file="generations/lifecycle/storing.py",
                old="    if pending:\n",
                new="    if pending == len(outputs):\n",
            ),
        ),
        caught_by=(f"{STORING}::test_nothing_is_completed_while_a_file_is_on_its_way",),
    ),
    Bug(
        number="11a",
        sentence="What lies in storage is not compared with what was sent",
        changes=(
            Replaced(
                file="generations/workers/copier.py",
                old="if (measured.size_bytes, measured.sha256) != (fetched.size_bytes, fetched.sha256):",
                new="if not measured.size_bytes:",
            ),
        ),
        caught_by=(f"{STORING}::test_c23_a_storage_that_keeps_other_bytes_delivers_nothing",),
    ),
    Bug(
        number="11b",
        sentence="What came is not compared with the size that fal announced",
        changes=(
            Replaced(
                file="generations/workers/copier.py",
                old="if output.claimed_size_bytes is not None and output.claimed_size_bytes != fetched.size_bytes:",
                new="if False:",
            ),
        ),
        caught_by=(f"{STORING}::test_c4_a_file_of_another_size_than_fal_announced_is_not_taken",),
    ),
)
