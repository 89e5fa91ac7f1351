"""Survivors that are no loss: equal in what anybody can see, or held by a second guard that has its own tests."""

# As the run prints a survivor, and why it may live.
_LOCKS = "SQLite has no row locks. On PostgreSQL a race with a negative control shows it"
_ATOMIC = (
    "Equal on SQLite: it writes one line, or calls another fact, which is a transaction itself. PostgreSQL refuses to "
    "lock a row outside of one, and `make test` runs it there."
)
EXPLAINED = {
    "ledger._post: _lock(account)  →  pass": f"{_LOCKS}: seeded bug 5b.",
    "ordering._open: _lock(account)  →  pass": f"{_LOCKS}: tests/generations/api/test_repeated_orders.py.",
    "erasing.erase: list(generation.outputs.select_for_update().order_by('pk'))  →  pass": f"{_LOCKS}: "
    "tests/generations/lifecycle/test_erasing.py.",
    "submitting.rejected: lock(submission.generation_id)  →  pass": "SQLite has no row locks. On PostgreSQL it keeps "
    "the order in which rows are locked, the generation before its attempt, and so saves from deadlocks.",
    "submitting.submitting: ter(generation=generation, state=Submission.State.PLANNED).latest('numbe  →  "
    "ter(generation=generation).latest('numbe": "Equal: of a queued order, the planned attempt is the newest.",
    "answering._only_this_one: .State.ACCEPTED).exclude(pk=submission.pk)  →  .State.ACCEPTED).exclude()": "Equal: the "
    "next statement sets its own row right.",
    "ordering.Order.arguments_hash: lf.arguments], sort_keys=True, separators=(  →  lf.arguments], sort_keys=False, "
    "separators=(": "Equal: the arguments come in the order of their declaration. It is there for a catalogue that "
    "reorders one.",
    "ending.top: @transaction.atomic def not_made  →  def not_made": _ATOMIC,
    "ending.top: @transaction.atomic def given_up  →  def given_up": _ATOMIC,
    "answering.top: @transaction.atomic def answered_er  →  def answered_er": _ATOMIC,
    "cancelling.top: @transaction.atomic def cancel_sent  →  def cancel_sent": _ATOMIC,
    "cancelling.top: @transaction.atomic def cancelled  →  def cancelled": _ATOMIC,
}
