"""Final checks that compare Limn's submissions, results and callbacks with what fal did (I12, I14, B3, B38)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from generations.models import FailureCode, Generation, ProviderCallback, Status, Submission
from quality.chaos.evidence import Evidence, submission_id

# The scenarios, by the beginning of their name, that explain why a generation failed although fal's job did not.
EXPLAINED_FAILURES: Mapping[str, tuple[str, ...]] = {
    FailureCode.COPY_FAILED: ("cdn:", "outputs:evil_output_url"),
    FailureCode.PROVIDER_ERROR: (
        "outputs:zero",
        "outputs:fewer",
        "callback:contradictory",
        "callback:error_null_payload",
    ),
    FailureCode.RESULT_EXPIRED: ("result:410", "poll:404"),
}
# Failures that may hide trouble of Limn's own.
OWN_TROUBLE = (FailureCode.PROVIDER_ERROR, FailureCode.COPY_FAILED, FailureCode.INTERNAL_ERROR)
# So many workers in a row must have died with a row before it is given up.
CRASHES_MAX = 5
UNDECIDED = (Submission.State.UNKNOWN, Submission.State.MISSING, Submission.State.DISPUTED)
# The second one also comes first, and then it counts.
CONTRADICTING_KINDS = ("contradiction", "error_null_payload")
FORGED_KINDS = ("forged", "wrong_account", "mismatch", "stale", "garbage")


def check_posts(evidence: Evidence) -> None:
    """Check I12: each submission was POSTed at most once, whatever was answered, and is on record."""
    posts = Counter(
        submission_id(url) for post in evidence.log.posts() if evidence.is_ours(url := post.query.get("fal_webhook"))
    )
    for pk, count in posts.items():
        # After a restore of the database, Limn may not know any more that it has sent this one.
        if count > 1 and pk not in evidence.losses.changed_submissions:
            evidence.counters.add_violation("I12", f"submission {pk} was posted {count} times")
        if pk not in evidence.submissions.keys() | evidence.losses.submissions:
            evidence.counters.add_violation("I12", f"submission {pk} was posted and is not on record")
    evidence.counters.count_event("posts", sum(posts.values()))


def check_jobs(evidence: Evidence) -> None:
    """Check I12: each job that fal accepted belongs to one submission, or to one that is recorded as unanswered."""
    counters = evidence.counters
    jobs_of: Counter[Any] = Counter()
    changed = evidence.losses.changed_submissions
    owner_of = {request.request_id: submission_id(request.webhook_url) for request in evidence.accepted}
    for request in evidence.accepted:
        submission = evidence.submissions.get(submission_id(request.webhook_url))
        if submission is None and submission_id(request.webhook_url) in evidence.losses.submissions:
            counters.count_event("jobs whose submission a restore has lost")
            continue
        if submission is None:
            counters.add_violation("I12", f"fal has the job {request.request_id}, and no submission knows it")
            continue
        jobs_of[submission.generation_id] += 1
        about = f"{request.request_id} of submission {submission.pk}"
        if submission.request_id == request.request_id:
            counters.count_event(f"jobs {submission.state}")
        elif str(submission.pk) in changed:
            counters.count_event("jobs whose answer a restore has lost")
        elif owner_of.get(submission.request_id or "", "") in changed | evidence.losses.submissions:
            # fal named another order's job, and the database did not know any more that it was another's.
            counters.count_event("jobs of another order that a restore has lost")
        elif submission.request_id is not None:
            counters.add_violation("I12", f"fal has {about}, which names {submission.request_id}")
        elif submission.state in UNDECIDED:
            # The answer to the POST was lost, or named another job. The row says that a job may exist, and that is all
            # that can be known.
            counters.count_event(f"jobs never claimed ({submission.state})")
        else:
            counters.add_violation("I12", f"fal accepted {about}, whose state is {submission.state}")
    known = {row.request_id for row in evidence.submissions.values() if row.request_id}
    for request_id in known - {request.request_id for request in evidence.accepted}:
        counters.add_violation("I12", f"a submission names the job {request_id}, and fal has none")
    counters.count_event("jobs at fal", len(evidence.accepted))
    counters.count_event("generations with two jobs or more", sum(count > 1 for count in jobs_of.values()))


def check_results(evidence: Evidence) -> None:
    """Check I14: a generation is completed only if fal's job was, and fails only for a reason that was injected."""
    requests = {request.request_id: request for request in evidence.accepted}
    for submission in evidence.submissions.values():
        request = requests.get(submission.request_id or "")
        if submission.state != Submission.State.ACCEPTED or request is None:
            continue
        generation = submission.generation
        if generation.status == Status.COMPLETED and request.error is not None:
            evidence.counters.add_violation("I14", f"{generation.pk} is completed, and fal's job failed")
        # fal delivered, and the customer got nothing: only an injected fault may be the reason.
        is_delivered = request.state == "COMPLETED" and request.error is None
        if generation.status != Status.FAILED or not is_delivered:
            continue
        code = generation.failure_code
        was_cancelled = code == FailureCode.CANCELLED and generation.cancel_asked_at is not None
        if was_cancelled or is_explained(code, request.scenarios):
            evidence.counters.count_event(f"completed by fal, and failed as {code}")
        else:
            detail = f"fal completed {request.request_id} [{request.scenarios}], and {generation.pk} failed as {code}"
            evidence.counters.add_violation("I14", detail)


def check_failures(evidence: Evidence) -> None:
    """Check I14: no trouble of Limn's own is blamed on fal, and no file of fal's is given up for it."""
    counters = evidence.counters
    # What fal said about each generation: its refusals and its failures. And what was requested from the simulator.
    errors: set[Any] = set()
    scenarios: dict[Any, str] = {}
    for post in evidence.log.posts():
        submission = evidence.submissions.get(submission_id(post.query.get("fal_webhook")))
        if submission is not None:
            scenarios[submission.generation_id] = post.scenarios
            if post.outcome.startswith("refused"):
                errors.add(submission.generation_id)
    for request in evidence.accepted:
        submission = evidence.submissions.get(submission_id(request.webhook_url))
        if submission is not None and request.error is not None:
            errors.add(submission.generation_id)
    kills = sum(times for kind, times in counters.faults.items() if kind.startswith("kill -9") or kind.endswith("exit"))
    failed = Generation.objects.filter(status=Status.FAILED, failure_code__in=OWN_TROUBLE)
    for generation in failed.prefetch_related("outputs"):
        crashes = max(generation.crashes, *(output.crashes for output in generation.outputs.all()), 0)
        by_fal = generation.failure_code == FailureCode.PROVIDER_ERROR and generation.pk in errors
        by_kills = generation.failure_code != FailureCode.PROVIDER_ERROR and min(crashes, kills) >= CRASHES_MAX
        if not (by_fal or by_kills or is_explained(generation.failure_code, scenarios.get(generation.pk, ""))):
            detail = f"{generation.pk} [{scenarios.get(generation.pk)}] failed as {generation.failure_code}"
            counters.add_violation("I14", f"{detail} after {crashes} crashes, and fal reported no error")


def is_explained(failure_code: str, scenarios: str) -> bool:
    """Return whether the scenarios of a job explain that its generation failed although the job did not."""
    explanations = EXPLAINED_FAILURES.get(failure_code, ())
    return any(word.startswith(explanations) for word in scenarios.split())


def check_callbacks(evidence: Evidence) -> None:
    """Check I14: every callback that was answered 200 is stored.

    B3: no forged one was accepted. B38: none was redirected.
    """
    counters = evidence.counters
    rows = ProviderCallback.objects.values_list("submission_id", "body_sha256").iterator()
    stored = {(str(submission_id), digest) for submission_id, digest in rows}
    for callback in evidence.log.callbacks():
        if not evidence.is_ours(callback.url):
            continue
        counters.count_event(f"callbacks answered {callback.status or 'not'}")
        about = f"callback for {callback.request_id}"
        if callback.status == 200:
            identity = (submission_id(callback.url), hashlib.sha256(callback.body).hexdigest())
            if identity not in stored and callback.number > evidence.losses.last_callback:
                counters.add_violation("I14", f"a {about} was answered 200 and is not stored")
            if callback.kind in FORGED_KINDS:
                counters.add_violation("B3", f"a {callback.kind} {about} was answered 200")
        # fal does not retry a callback that was answered with a redirect.
        if callback.status is not None and 300 <= callback.status < 400:
            counters.add_violation("B38", f"a {about} was answered {callback.status}")


def check_contradictions(evidence: Evidence) -> None:
    """Check B18: of a completed generation, exactly those callbacks are recorded as contradictions that are some."""
    counters = evidence.counters
    # The same body may have been sent with a wrong signature too, so what was answered 200 counts. One whose answer was
    # lost may be stored as well.
    sent = sorted(evidence.log.callbacks(), key=lambda callback: callback.status == 200)
    found = {(submission_id(each.url), hashlib.sha256(each.body).hexdigest()): each for each in sent}
    completed = ProviderCallback.objects.filter(
        submission__generation__status=Status.COMPLETED,
        submission__generation__erased_at=None,
        submission__state=Submission.State.ACCEPTED,
    )
    for row in completed.exclude(outcome=ProviderCallback.Outcome.RECEIVED):
        callback = found.get((str(row.submission_id), row.body_sha256))
        kind = callback.kind if callback else "unknown"
        if callback and callback.request_id != evidence.submissions[str(row.submission_id)].request_id:
            # About a second job, which the operator pays: it contradicts nothing.
            continue
        is_recorded = row.outcome == ProviderCallback.Outcome.CONFLICT
        if is_recorded and kind not in CONTRADICTING_KINDS:
            counters.add_violation("B18", f"the {kind} callback {row.pk} is recorded as a contradiction")
        if not is_recorded and kind == "contradiction":
            counters.add_violation("B18", f"the contradiction {row.pk} is recorded as {row.outcome}")
        counters.count_event("contradictions recorded", int(is_recorded))
