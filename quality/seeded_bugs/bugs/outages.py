"""Bugs that show when a clock is wrong, an outage was long, or the database or the storage is in trouble."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

BUGS = (
    Bug(
        number="24a",
        sentence="A row whose work raises is left until its lease runs out, as if its worker had died",
        changes=(
            ReplaceCode(
                module="generations.jobs.parallel",
                old="leases.return_later(row)",
                new="pass",
            ),
        ),
        # The other test that notices it waits as long for each kind of trouble.
        caught_by=("test_e4_the_pause_grows_while_the_trouble_lasts",),
    ),
    Bug(
        number="24b",
        sentence="What Limn gives up is blamed on the provider",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.ending",
                old="FailureCode.INTERNAL_ERROR",
                new="FailureCode.PROVIDER_ERROR",
            ),
        ),
        caught_by=("test_e4_a_generation_that_killed_five_submitters_fails_and_costs_nothing",),
    ),
    Bug(
        number="24c",
        sentence="A file that killed five workers is lost although fal still has it",
        changes=(
            ReplaceCode(
                module="generations.workers.copier",
                within="_give_up",
                old="output.give_up_at <= clock.now()",
                new="True",
            ),
        ),
        caught_by=("test_e4_an_output_that_killed_five_copiers_is_tried_again_rarely_and_not_lost",),
    ),
    Bug(
        number="24d",
        sentence="Trouble of the storage counts as a missing file",
        changes=(
            ReplaceCode(
                module="generations.workers.copier",
                old="_retry_later(output, error, first=FIRST_RETRY_SECONDS, missed=False)",
                new="_retry_later(output, error, first=FIRST_RETRY_SECONDS, missed=True)",
            ),
        ),
        caught_by=("test_c12_trouble_of_this_machine_or_of_the_storage_is_no_miss",),
    ),
    Bug(
        number="24e",
        sentence="A file is lost at once because a setting or DNS refuses its host",
        changes=(
            ReplaceCode(
                module="generations.workers.copier",
                old="(http_client.AddressRefused, http_client.TooLarge)",
                new="(http_client.AddressRefused, http_client.TooLarge, http_client.HostRefused)",
            ),
        ),
        caught_by=(
            "test_c15_c16_a_file_waits_until_its_host_is_allowed_and_nothing_is_contacted",
            "test_c15_c16_a_host_that_stays_refused_is_reported_and_in_the_end_is_an_error_of_limn",
        ),
    ),
    Bug(
        number="24f",
        sentence="A full disk refuses an upload for good",
        changes=(
            ReplaceCode(
                module="generations.files.uploads",
                old="raise sandbox.SandboxUnavailable(sandbox.OVERLOADED) from error",
                new='return bool(_held(upload).update(state=Upload.State.REFUSED, detail=f"{error}"))',
            ),
        ),
        caught_by=("test_c29_an_upload_is_completed_when_the_trouble_is_over",),
    ),
    Bug(
        number="24g",
        sentence="An image for which there is no memory is called broken",
        changes=(
            ReplaceCode(module="generations.files.media_types", old="isinstance(error, MemoryError)", new="False"),
        ),
        caught_by=("test_g14_an_image_for_which_there_is_no_memory_is_not_called_broken",),
    ),
    Bug(
        number="27a",
        sentence="A late generation fails at the first question without an answer",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="unanswered >= (UNKNOWN_PATIENCE if submission is None else VERDICT_PATIENCE)",
                new="True",
            ),
        ),
        caught_by=(
            "test_f14_patience_begins_with_the_first_question_without_an_answer",
            "test_a4_an_unknown_submission_fails_at_the_deadline_and_costs_nothing",
        ),
    ),
    Bug(
        number="27b",
        sentence="One 404 is final",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="generation.unanswered_for(now) < GONE_PATIENCE",
                new="False",
            ),
        ),
        caught_by=("test_f2_a_request_that_fal_does_not_know_for_minutes_fails_and_costs_nothing",),
    ),
    Bug(
        number="27c",
        sentence="Patience goes on during an outage of Limn",
        changes=(
            ReplaceCode(
                module="generations.models.inquiry",
                old="now - self.unanswered_until > self.LATE_MAX",
                new="False",
            ),
        ),
        caught_by=("test_f14_an_outage_of_limn_during_an_outage_of_fal_begins_patience_again",),
    ),
    Bug(
        number="27d",
        sentence="An open circuit breaker ends late generations before a probe",
        changes=(
            ReplaceCode(
                module="generations.provider.circuit_breaker",
                old="Subquery(refused_at)",
                new="Now()",
            ),
        ),
        caught_by=("test_an_open_breaker_ends_no_queued_generation_before_a_probe",),
    ),
    Bug(
        number="27e",
        sentence="A generation is failed although its result has come since it was judged",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.ending",
                old="locked.phase == generation.phase and fail(locked, why, actor=actor)",
                new="fail(locked, why, actor=actor)",
            ),
        ),
        caught_by=(
            "test_f15_a_result_that_comes_while_the_status_is_asked_for_is_delivered",
            "test_f15_a_probe_that_fal_accepts_keeps_its_generation",
        ),
    ),
    Bug(
        number="27f",
        sentence="Patience with refusals is used up for the questions that follow",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.submitting",
                old='{"unanswered_since": None, "unanswered_until": None}',
                new="{}",
            ),
        ),
        caught_by=("test_f14_patience_with_refusals_is_not_patience_with_what_follows",),
    ),
    Bug(
        number="27g",
        sentence="An error of Limn while it reads a result counts as silence of fal",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="not is_fals or (submission is not None and isinstance(error, Forbidden))",
                new="False",
            ),
        ),
        caught_by=("test_e4_while_limn_cannot_read_a_result_it_is_kept_and_staff_are_told",),
    ),
    Bug(
        number="28a",
        sentence="Decisions use the clock of the process",
        changes=(ReplaceCode(module="database.clock", old="return _measured.now()", new="return timezone.now()"),),
        caught_by=(
            "test_now_is_the_time_of_the_database_whatever_the_process_has",
            "test_e14_an_order_and_a_batch_are_due_at_once",
            "test_e14_a_retention_rule_erases_nothing_early",
        ),
        database="postgresql",
    ),
    Bug(
        number="28b",
        sentence="A worker with a wrong clock goes on working",
        changes=(ReplaceCode(module="generations.workers.loops", old="clock.is_wrong()", new="False", matches=2),),
        caught_by=("test_e14_a_worker_with_a_wrong_clock_leaves_the_work_to_another",),
        database="postgresql",
    ),
    Bug(
        number="28c",
        sentence="A command orders although its clock is wrong",
        changes=(ReplaceCode(module="database.commands", old="clock.is_wrong()", new="False"),),
        caught_by=("test_e14_a_command_with_a_wrong_clock_does_nothing",),
        database="postgresql",
    ),
    Bug(
        number="30a",
        sentence="A job with the same arguments is adopted, although another program may have ordered it",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="submission.seed is not None or callback_url in each.texts",
                new="True",
            ),
        ),
        caught_by=("test_a4_without_a_seed_of_limns_own_it_waits_for_its_callback",),
    ),
    Bug(
        number="30b",
        sentence="No seed is drawn, so an identical job of another program is adopted or waited for",
        changes=(
            ReplaceCode(
                module="generations.catalogue.declaration",
                old="secrets.randbelow(SEEDS)",
                new="None",
            ),
        ),
        caught_by=(
            "test_a4_a_job_that_fals_record_knows_is_adopted",
            "test_a4_the_job_of_a_stranger_is_never_adopted",
        ),
    ),
    Bug(
        number="30c",
        sentence="A process that does not know the model compares without the seed",
        changes=(
            ReplaceCode(
                module="generations.workers.reconciler",
                old="model is not None or submission.seed is None",
                new="True",
            ),
        ),
        caught_by=("test_a4_a_process_that_does_not_know_the_model_neither_adopts_nor_repeats",),
    ),
    Bug(
        number="31a",
        sentence="A request id that another order has is passed over",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.submitting",
                old="_dispute(generation, submission, owner)",
                new="pass",
            ),
        ),
        caught_by=(
            "test_a_request_that_another_generation_has_named_is_disputed",
            "test_a33_one_request_id_for_two_orders_is_disputed_and_nothing_is_posted_again",
        ),
    ),
    Bug(
        number="31b",
        sentence="A callback with the token of one order is delivered to another",
        changes=(
            ReplaceCode(
                module="generations.workers.callback_inbox",
                old="submission.generation_id != generation.pk",
                new="False",
            ),
        ),
        caught_by=("test_a33_a_callback_for_a_request_of_another_order_is_delivered_to_neither",),
    ),
    Bug(
        number="37a",
        sentence="A failure after a result looks like a repeated callback",
        changes=(
            ReplaceCode(
                module="generations.workers.callback_inbox",
                old="not moved and lifecycle.failure_conflicts(generation, submission)",
                new="False",
            ),
        ),
        caught_by=("test_b18_the_first_of_two_contradictory_verdicts_counts[OK]",),
    ),
    Bug(
        number="37b",
        sentence="A repeated result counts as a contradiction",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.conflicting",
                old="files != known and _record(generation, ...)",
                new="_record(generation, 'fal delivered a result again')",
            ),
        ),
        caught_by=("test_b18_a_result_with_other_files_is_a_conflict_and_changes_nothing",),
    ),
)
