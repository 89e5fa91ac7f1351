"""Bugs that leave files in the storage which no row names, or delete those of others."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode, ReplaceText

COPIER = "generations.workers.copier"
WRITE_ATTEMPTS = "generations.files.write_attempts"
STORAGE_CLEANER = "generations.workers.storage_cleaner"
STORAGE_MARK = "generations.files.storage_mark"

BUGS = (
    Bug(
        number="25a",
        sentence="A worker that wakes up after its lease leaves its file in storage",
        changes=(ReplaceCode(module=COPIER, old="write_attempts.settle(output)", new="None"),),
        caught_by=(
            "test_e3_a_worker_that_wakes_up_after_another_has_delivered_deletes_its_own_file",
            "test_e3_a_worker_that_wakes_up_after_the_erasure_brings_nothing_back",
            "test_c32_a_copy_that_ends_after_its_generation_is_deleted",
        ),
    ),
    Bug(
        number="25b",
        sentence="The place of an attempt is not on record when its first byte is written",
        changes=(ReplaceCode(module=COPIER, old="statements.RECORD_WRITE_ATTEMPTS", new='""'),),
        caught_by=(
            "test_the_place_of_an_attempt_is_on_record_before_its_first_byte",
            "test_what_a_killed_worker_has_left_is_deleted_without_a_listing",
        ),
    ),
    Bug(
        number="25c",
        sentence="The eraser deletes only the file that the row names",
        changes=(
            ReplaceCode(
                module="generations.workers.eraser",
                old="write_attempts.empty_places(WriteAttempt.objects.filter(output__generation=receipt.generation_id))",
                new="None",
            ),
        ),
        caught_by=("test_the_eraser_deletes_what_killed_workers_have_left",),
    ),
    Bug(
        number="25d",
        sentence="A place is emptied once, although its worker may still write there",
        changes=(
            ReplaceCode(module=WRITE_ATTEMPTS, old="attempt.is_over or attempt.cleanups >= CLEANUPS_MAX", new="True"),
        ),
        caught_by=("test_a_place_is_emptied_again_while_its_worker_may_still_write",),
    ),
    Bug(
        number="25e",
        sentence="The clean-up deletes the file of an attempt that may still win",
        changes=(ReplaceCode(module=WRITE_ATTEMPTS, old="attempt.has_won or attempt.may_win", new="attempt.has_won"),),
        caught_by=("test_a_running_attempt_is_left_alone",),
    ),
    Bug(
        number="25f",
        sentence="A process that wakes up after an upload was erased brings its image back",
        changes=(
            ReplaceCode(
                module="generations.files.uploads", old="write_attempts.settle(leased)", new="None", within="_leased"
            ),
        ),
        caught_by=("test_an_upload_that_is_erased_while_it_is_processed_leaves_nothing",),
    ),
    Bug(
        number="25g",
        sentence="A file in a folder has its name before all of its bytes are there",
        changes=(
            ReplaceText(
                module="generations.files.folder",
                old="""handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")""",
                new="""handle, draft = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), str(path)""",
            ),
        ),
        caught_by=("test_a_process_that_is_killed_while_it_writes_leaves_no_file",),
    ),
    Bug(
        number="26a",
        sentence="The storage cleaner deletes files that no row names",
        changes=(
            ReplaceText(
                module=STORAGE_CLEANER, old="self._report.unknown_files += 1", new="storage.delete(listed.key)"
            ),
        ),
        caught_by=(
            "test_f12_unknown_files_are_counted_and_not_deleted",
            "test_j19_the_files_of_a_second_limn_in_the_same_storage_are_kept",
            "test_j9_the_files_of_a_newer_state_of_the_database_are_kept",
        ),
    ),
    Bug(
        number="26b",
        sentence="The mark of another deployment in the storage is accepted",
        changes=(ReplaceCode(module=STORAGE_MARK, old="mark is None or mark.latest in known", new="True"),),
        caught_by=(
            "test_the_storage_of_another_deployment_is_refused",
            "test_of_two_first_starts_one_gets_the_storage",
            "test_j9_an_older_dump_of_the_database_is_noticed",
        ),
    ),
    Bug(
        number="26c",
        sentence="An older dump of the same deployment uses the storage",
        changes=(
            ReplaceCode(
                module=STORAGE_MARK,
                old="mark is None or mark.latest in known",
                new="mark is None or mark.deployment in known",
            ),
        ),
        caught_by=("test_j9_an_older_dump_of_the_database_is_noticed",),
    ),
    Bug(
        number="26d",
        sentence="Multipart uploads of others are aborted",
        changes=(
            ReplaceText(
                module="generations.files.storage",
                old="""client.list_multipart_uploads(**where)""",
                new="""client.list_multipart_uploads(Bucket=bucket.name)""",
            ),
            ReplaceCode(module="generations.files.storage", old='not upload["Key"].startswith(prefix)', new="False"),
        ),
        caught_by=(
            "test_a_multipart_upload_of_a_killed_worker_is_aborted_and_no_other",
            "test_c24_a_multipart_upload_of_others_is_not_aborted",
        ),
    ),
    Bug(
        number="26e",
        sentence="The prefix of the deployment is ignored when the storage is listed",
        changes=(
            ReplaceText(module="generations.files.storage", old="Prefix=_full(below)", new="Prefix=below"),
            ReplaceCode(module="generations.files.storage", old='item["Key"].startswith(_full(below))', new="True"),
        ),
        caught_by=("test_two_deployments_in_one_storage_see_only_their_own_files",),
    ),
    Bug(
        number="26f",
        sentence="A worker deletes files although an older dump was restored since it has read the mark",
        changes=(ReplaceCode(module=STORAGE_MARK, within="Guard.verify_now", old="not self._is_needed", new="True"),),
        caught_by=(
            "test_j9_a_worker_that_has_just_verified_the_storage_reads_the_mark_before_it_deletes",
            "test_j9_each_kind_of_deletion_reads_the_mark",
        ),
    ),
    Bug(
        number="26g",
        sentence="What a server lists is deleted without a comparison with the place of the attempt",
        changes=(
            ReplaceCode(module="generations.files.storage", old='not upload["Key"].startswith(prefix)', new="False"),
            ReplaceCode(module="generations.files.storage", old='listed["Key"].startswith(prefix)', new="True"),
        ),
        caught_by=("test_c24_a_server_that_ignores_prefixes_makes_limn_touch_nothing_of_others",),
    ),
)
