"""The inbox of fal's callbacks: each was stored as it came, and is reported to the lifecycle here, once.

The loop of `manage.py work` calls `run_once`, which handles many callbacks in one transaction; the callback view wakes
it. The reconciler calls `catch_up` before it asks fal.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from django.db import transaction
from django.db.models import QuerySet
from psycopg.errors import LockNotAvailable

from database.transactions import UNAVAILABLE
from generations import lifecycle
from generations.fal import Completed, Failed, wire
from generations.jobs import failpoints
from generations.models import Generation, ProviderCallback, Submission
from generations.provider import clients
from generations.workers import statements, tasks

logger = logging.getLogger(__name__)

Outcome = ProviderCallback.Outcome
# The callbacks that this process could not process. They are still received, and the reconciler tries them again.
set_aside: set[int] = set()


def due() -> QuerySet[ProviderCallback]:
    """Return the callbacks to process. An orphan is never received in this sense."""
    received = ProviderCallback.objects.filter(outcome=Outcome.RECEIVED)
    return received.exclude(pk__in=set_aside) if set_aside else received


def run_once(*, limit: int) -> int:
    """Process up to `limit` received callbacks, those that came first. Returns how many."""
    try:
        outcomes = _process_together(lambda: statements.lock_next_received(limit=limit, without=set_aside))
    except Exception as error:
        if _is_outage(error):
            # The loop tries again.
            raise
        # One of them must not hold up the others, whatever is wrong with it.
        logger.exception("callbacks could not be processed together")
        received = list(due().select_related("submission__generation").order_by("pk")[:limit])
        outcomes = _process_one_by_one(received)
    if Outcome.APPLIED in outcomes:
        tasks.wake("copier")
    return len(outcomes)


def catch_up(generation: Generation) -> bool:
    """Process the received callbacks of one generation. Returns whether one of them moved it."""
    return Outcome.APPLIED in _process_together(lambda: statements.lock_received("generation.id", generation.pk))


def process(stored: ProviderCallback) -> ProviderCallback.Outcome:
    """Process one callback. IGNORED if that was done before. Raises ValueError if it belongs to no submission."""
    if stored.submission_id is None:
        raise ValueError("a callback without a submission cannot be processed")
    return next(iter(_process_together(lambda: statements.lock_received("callback.id", stored.pk))), Outcome.IGNORED)


@transaction.atomic
def _process_together(lock: Callable[[], list[ProviderCallback]]) -> list[Outcome]:
    """Report received callbacks to the lifecycle, in one transaction, and return their outcomes.

    A process that dies in it leaves all of them to the next one. The rows of the callbacks and of their generations are
    locked, so none is reported twice.

    Args:
        lock: Locks received callbacks, and returns them with their submissions and generations.
    """
    outcomes: dict[Outcome, list[ProviderCallback]] = defaultdict(list)
    generations: dict[object, Generation] = {}
    # An end locks the row of its account. In one order, so that two workers do not wait for each other.
    for stored in sorted(lock(), key=lambda stored: _submission_of(stored).generation.account_id):
        failpoints.reach("kept")
        submission = _submission_of(stored)
        # Two callbacks of one generation must see each other's changes.
        submission.generation = generations.setdefault(submission.generation_id, submission.generation)
        outcomes[_report(stored, submission)].append(stored)
    for outcome, callbacks in outcomes.items():
        statements.record_outcome(callbacks, outcome)
        _forget_erased(callbacks)
    return [outcome for outcome, callbacks in outcomes.items() for _ in callbacks]


def _submission_of(stored: ProviderCallback) -> Submission:
    if stored.submission is None:
        raise ValueError("a callback without a submission cannot be processed")
    return stored.submission


def _report(stored: ProviderCallback, submission: Submission) -> Outcome:
    """Report one callback of a locked generation to the lifecycle. Returns what it changed."""
    if not stored.body:
        # The generation has ended and was erased before this.
        return Outcome.IGNORED
    callback, generation = wire.read_callback(bytes(stored.body)), submission.generation
    if submission.request_id != callback.request_id:
        # The callback may come before the receipt: then fal's acceptance is learnt from it.
        lifecycle.submitted_locked(
            generation, submission, clients.fal().receipt_for(generation.endpoint, callback.request_id)
        )
        # By the request id, because a second job of one submission has a row of its own.
        submission = Submission.objects.get(request_id=callback.request_id)
        if submission.generation_id != generation.pk:
            # fal's receipt has named the request for another generation. Whose file it is cannot be told, so it is
            # delivered to neither: it may be that of another customer.
            return Outcome.CONFLICT
    failpoints.reach("adopted")
    match callback.verdict:
        case Completed(answer=answer):
            moved = lifecycle.answer_locked(generation, submission, answer)
            conflicts = not moved and lifecycle.answer_conflicts(generation, submission, answer)
        case Failed(reason=reason):
            moved = lifecycle.provider_failed(generation, lifecycle.failure_for(generation, reason))
            conflicts = not moved and lifecycle.failure_conflicts(generation, submission)
        case wire.NoVerdict(why=why):
            # The reconciler asks fal instead.
            logger.warning("a callback without a verdict", extra={"why": why, "submission": str(submission.pk)})
            tasks.enqueue_reconcile(generation.pk)
            return Outcome.UNCLEAR
    if conflicts:
        return Outcome.CONFLICT
    return Outcome.APPLIED if moved else Outcome.IGNORED


def _process_one_by_one(received: Iterable[ProviderCallback]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    # Of all callbacks that need the same locked account, one waits for it. The next call tries again.
    locked_accounts: set[int] = set()
    for stored in received:
        account_id = _submission_of(stored).generation.account_id
        if account_id in locked_accounts:
            continue
        try:
            outcome = _process_alone(stored)
        except UNAVAILABLE as error:
            if _is_outage(error):
                raise
            logger.warning("a callback waits for a locked row", extra={"callback": stored.pk})
            locked_accounts.add(account_id)
        else:
            outcomes += [outcome] if outcome else []
    return outcomes


def _process_alone(stored: ProviderCallback) -> Outcome | None:
    """Process one callback. If that raises, leave it to the reconciler, which gives a row up that raises again."""
    try:
        return process(stored)
    except UNAVAILABLE:
        raise
    except Exception:
        logger.exception("a callback could not be processed", extra={"callback": stored.pk})
        set_aside.add(stored.pk)
        tasks.enqueue_reconcile(Submission.objects.get(callbacks=stored).generation_id)
        return None


def _is_outage(error: Exception) -> bool:
    """Return whether the database is unavailable or busy. A wait for a lock is the matter of one callback."""
    return isinstance(error, UNAVAILABLE) and not isinstance(error.__cause__, LockNotAvailable)


def _forget_erased(callbacks: Iterable[ProviderCallback]) -> None:
    """Delete the bodies of callbacks for erased generations: they may repeat the prompt."""
    erased = [each.pk for each in callbacks if each.submission and each.submission.generation.erased_at]
    if erased:
        ProviderCallback.objects.filter(pk__in=erased).update(body=b"")
