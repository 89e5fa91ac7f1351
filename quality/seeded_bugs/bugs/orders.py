"""Orders that are paid twice, given up behind fal's back, or worked on for ever."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug, Replaced

LEASES = "tests/generations/jobs/test_leases.py"
RECONCILING = "tests/generations/workers/test_reconciler.py"
RESOLVES = Replaced(
    file="generations/workers/submitter.py",
    old="lifecycle.submission_lost(submission, detail=str(error))",
    new="lifecycle.not_taken(submission, detail=str(error), retry_in_seconds=0)",
)

BUGS = (
    Bug(
        number="6a",
        sentence="An attempt whose answer was lost is made again at once",
        changes=(RESOLVES,),
        caught_by=(
            "tests/generations/workers/test_submitter.py::test_a4_a19_what_fal_may_have_taken_is_never_sent_again_nor_released",
        ),
    ),
    Bug(
        number="6b",
        sentence="fal's client repeats the POST by itself",
        changes=(
            Replaced(
                file="generations/fal/client.py",
                old='raise AnswerLost(f"{type(error).__name__}: {error}"[:300]) from error',
                new="raise",
            ),
        ),
        caught_by=("tests/generations/workers/test_submitter.py::test_a6_one_attempt_is_exactly_one_post",),
    ),
    Bug(
        number="6c",
        sentence="A lost attempt takes the request of a twin whose answer is on the way",
        changes=(
            Replaced(
                file="generations/workers/reconciler.py",
                old="open_ended = [Submission.State.SENT, Submission.State.UNKNOWN]",
                new="open_ended = [Submission.State.UNKNOWN]",
            ),
        ),
        caught_by=(
            "tests/generations/workers/test_lost_answers.py::test_a_twin_whose_answer_is_on_the_way_is_not_robbed_of_its_request",
        ),
    ),
    Bug(
        number="6d",
        sentence="A request that another order has is taken for one's own",
        changes=(
            Replaced(
                file="generations/lifecycle/submitting.py",
                old="if Submission.objects.filter(request_id=ticket.request_id).exists():",
                new="if generation.submissions.filter(request_id=ticket.request_id).exists():",
            ),
        ),
        caught_by=(
            "tests/generations/workers/test_lost_answers.py::test_a_request_that_another_order_has_adopted_stumbles_nobody",
        ),
    ),
    Bug(
        number="7",
        sentence="The attempt is committed after its POST",
        changes=(
            Replaced(
                file="generations/workers/submitter.py",
                old="def submit_now(",
                new="@transaction.atomic\ndef submit_now(",
            ),
            Replaced(
                file="generations/workers/submitter.py",
                old="from django.db.models.functions import Now",
                new="from django.db import transaction\nfrom django.db.models.functions import Now",
            ),
        ),
        caught_by=(
            "tests/end_to_end/processes/test_workers.py::test_a3_a_worker_killed_while_submitting_pays_fal_once",
        ),
    ),
    Bug(
        number="8a",
        sentence="Whoever slept through his lease may still say that a file is stored",
        changes=(
            Replaced(
                file="generations/lifecycle/storing.py",
                old="pk=output.pk, lease=output.lease, state=",
                new="pk=output.pk, state=",
            ),
        ),
        caught_by=(
            "tests/generations/workers/test_copier.py::test_e3_an_owner_who_slept_through_his_lease_is_refused",
        ),
    ),
    Bug(
        number="8b",
        sentence="Whoever slept through his lease may still release it",
        changes=(
            Replaced(
                file="generations/jobs/leases.py",
                old="filter(pk=row.pk, lease=row.lease)\n    changes",
                new="filter(pk=row.pk)\n    changes",
            ),
        ),
        caught_by=(f"{LEASES}::test_an_owner_who_slept_cannot_release_what_another_holds",),
    ),
    Bug(
        number="8c",
        sentence="Whoever slept through his lease may still renew it",
        changes=(
            Replaced(
                file="generations/jobs/leases.py",
                old="filter(pk=row.pk, lease=row.lease)\n    try",
                new="filter(pk=row.pk)\n    try",
            ),
        ),
        caught_by=(f"{LEASES}::test_a_lease_that_another_took_is_not_kept",),
    ),
    Bug(
        number="12",
        sentence="At our own deadline the customer is refunded, whatever fal does",
        changes=(
            Replaced(
                file="generations/workers/reconciler.py",
                old="if generation.deadline_at + VERDICT_PATIENCE <= now:",
                new="if generation.deadline_at <= now:",
            ),
        ),
        caught_by=(f"{RECONCILING}::test_a25_a_result_that_comes_after_all_is_delivered_and_paid",),
    ),
    Bug(
        number="16",
        sentence="COMPLETED counts as success, whatever error stands beside it",
        changes=(
            Replaced(
                file="generations/fal/wire.py",
                old="Finished(reason=_reason_in_status(message))",
                new="Finished(reason=None)",
            ),
        ),
        caught_by=(
            "tests/generations/fal/test_wire.py::test_completed_with_an_error_is_a_failure",
            f"{RECONCILING}::test_f6_an_error_in_the_status_counts_though_there_is_a_result",
        ),
    ),
    Bug(
        number="18a",
        sentence="A job that kills every worker is tried for ever",
        changes=(Replaced(file="generations/jobs/leases.py", old="row.crashes >= CRASHES_MAX", new="row.crashes < 0"),),
        caught_by=(
            "tests/generations/workers/test_poison.py::test_e4_a_file_over_which_everybody_stumbles_is_given_up",
            "tests/generations/workers/test_poison.py::test_e4_an_order_that_cannot_be_handed_in_fails_and_costs_nothing",
        ),
    ),
    Bug(
        number="18b",
        sentence="A file that is not there is asked for until the last deadline",
        changes=(
            Replaced(
                file="generations/workers/copier.py",
                old="(missed and output.misses >= HOPELESS_MISSES)",
                new="False",
            ),
        ),
        caught_by=(
            "tests/generations/workers/test_copier.py"
            "::test_c1_c7_c9_c11_c14_c15_what_never_comes_whole_fails_and_costs_nothing[cdn:404]",
        ),
    ),
)
