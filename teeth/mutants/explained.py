"""Survivors that are no loss: equal in what anybody can see, or held by a second guard that has its own tests."""

# As the run prints a survivor, and why it may live.
EXPLAINED = {
    "ledger._post: _lock(account)  →  pass": "SQLite has no row locks. On PostgreSQL it is seeded bug 5b, and dies.",
    "submitting.submitting: ter(generation=generation, state=Submission.State.PLANNED).latest('numbe  →  "
    "ter(generation=generation).latest('numbe": "Equal: of a queued order, the planned attempt is the newest.",
    "ending.top: @transaction.atomic def given_up  →  def given_up": "Equal on SQLite: it writes one line, or calls "
    "`failed`, which is a transaction itself. PostgreSQL refuses to lock outside of one.",
}
