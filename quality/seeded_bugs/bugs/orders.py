"""Bugs that pay fal twice for one order, refund a job that fal still works on, or work on a row for ever."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import AddDecorator, ReplaceCode, ReplaceText

SUBMITTER = "generations.workers.submitter"
RECONCILER = "generations.workers.reconciler"
COPIER = "generations.workers.copier"
LEASES = "generations.jobs.leases"

BUGS = (
    Bug(
        number="6a",
        sentence="A submission whose answer was lost is sent again at once",
        changes=(
            ReplaceCode(
                module=SUBMITTER,
                old="lifecycle.submission_lost(submission, ...)",
                new="lifecycle.submission_refused(submission, detail=str(error), retry_in_seconds=0)",
            ),
        ),
        caught_by=("test_a4_a19_a_submission_that_fal_may_have_accepted_is_neither_repeated_nor_released",),
    ),
    Bug(
        number="6b",
        sentence="fal's client repeats the POST by itself",
        changes=(
            ReplaceCode(
                module="generations.fal.client",
                within="_OnePost.handle_request",
                old="raise AnswerLost(...) from error",
                new="raise",
            ),
        ),
        caught_by=("test_a6_a_submission_is_exactly_one_post",),
    ),
    Bug(
        number="6c",
        sentence="A lost submission adopts the job of an identical one that is still being sent",
        changes=(
            ReplaceCode(
                module=RECONCILER,
                old="model.with_seed(generation.arguments, submission.seed)",
                new="generation.arguments",
            ),
        ),
        caught_by=("test_a_lost_submission_does_not_adopt_the_job_of_an_identical_one_that_is_being_sent",),
    ),
    Bug(
        number="6d",
        sentence="A submission adopts the job of another order",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.submitting",
                old="next((each for each in known if each.request_id == receipt.request_id), None)",
                new="generation.submissions.filter(request_id=receipt.request_id).first()",
            ),
        ),
        caught_by=("test_a33_a_callback_for_a_request_of_another_order_is_delivered_to_neither",),
    ),
    Bug(
        number="7",
        sentence="The submission is committed after its POST",
        changes=(
            AddDecorator(
                module=SUBMITTER,
                function="submit_now",
                decorator="transaction.atomic",
                imports="from django.db import transaction",
            ),
        ),
        caught_by=("test_a3_a_worker_killed_while_submitting_pays_fal_once",),
    ),
    Bug(
        number="8a",
        sentence="A worker that has lost its lease can still store a file",
        changes=(
            ReplaceCode(
                module="generations.lifecycle.statements",
                old="'lease = %s'",
                new="'(lease = %s OR TRUE)'",
            ),
        ),
        caught_by=("test_e3_a_worker_that_has_lost_its_lease_cannot_complete_the_generation",),
    ),
    Bug(
        number="8b",
        sentence="A worker that has lost its lease can still release it",
        changes=(
            ReplaceCode(
                module=LEASES,
                within="release",
                old="_still_held(row)",
                new="type(row)._default_manager.filter(pk=row.pk)",
            ),
        ),
        caught_by=("test_a_worker_that_has_lost_its_lease_cannot_release_the_row",),
    ),
    Bug(
        number="8c",
        sentence="A worker that has lost its lease can still renew it",
        changes=(
            ReplaceCode(
                module=LEASES,
                within="_any_of",
                old="Q(pk=pk, lease=lease)",
                new="Q(pk=pk)",
            ),
        ),
        caught_by=("test_a_lease_that_another_worker_took_is_not_renewed",),
    ),
    Bug(
        number="8d",
        sentence="A process that has lost its lease deletes the bytes of an upload",
        changes=(
            ReplaceText(
                module="generations.files.uploads",
                old="if _process(leased, file):",
                new="if (_process(leased, file), True):",
            ),
        ),
        caught_by=("test_e3_a_process_that_has_lost_its_lease_leaves_the_uploaded_bytes_to_the_other",),
    ),
    Bug(
        number="12",
        sentence="The customer is refunded at the deadline, though fal may still deliver",
        changes=(
            ReplaceCode(
                module=RECONCILER,
                old="max(generation.cancel_sent_at, generation.deadline_at) + VERDICT_PATIENCE <= clock.now()",
                new="generation.deadline_at <= clock.now()",
            ),
        ),
        caught_by=("test_a25_a_result_that_comes_after_the_deadline_is_delivered_and_charged",),
    ),
    Bug(
        number="16",
        sentence="A job with the status COMPLETED counts as successful, whatever error stands beside it",
        changes=(
            ReplaceCode(
                module="generations.fal.wire",
                old="return Finished(reason=reason_from(...))",
                new="return Finished(reason=None)",
            ),
        ),
        caught_by=(
            "test_completed_with_an_error_is_a_failure",
            "test_f6_an_error_in_the_status_counts_although_there_is_a_result",
        ),
    ),
    Bug(
        number="18a",
        sentence="A row that crashes every worker is tried for ever",
        changes=(ReplaceCode(module=LEASES, old="row.crashes >= CRASHES_MAX", new="row.crashes < 0"),),
        caught_by=(
            "test_e4_an_output_that_kills_copiers_until_fal_has_deleted_it_costs_nothing",
            "test_e4_a_generation_that_killed_five_submitters_fails_and_costs_nothing",
        ),
    ),
    Bug(
        number="18b",
        sentence="A file that does not exist is requested until the last deadline",
        changes=(ReplaceCode(module=COPIER, old="missed and output.misses >= MISSES_MAX", new="False"),),
        caught_by=("test_c1_c7_c9_c11_c14_c15_a_file_that_never_arrives_complete_costs_nothing[cdn:404]",),
    ),
)
