"""Mutants that survive and need no test: they behave the same, or a second guard with tests of its own holds them.

The keys are mutants as the run prints them; the values say why they may survive.
"""

_NO_ROW_LOCKS = "SQLite has no row locks. On PostgreSQL a race with a negative control kills it"
_STILL_ATOMIC = (
    "Equivalent on SQLite: the function writes one row, or calls another function that is a transaction. PostgreSQL "
    "refuses to lock a row outside a transaction, and `make test` runs there too."
)
EQUIVALENT = {
    "ledger._post: _lock(account)  →  pass": f"{_NO_ROW_LOCKS}: seeded bug 5b.",
    "placing._order: lock_account(account)  →  pass": (
        f"{_NO_ROW_LOCKS}: tests/generations/api/test_repeated_orders.py."
    ),
    "erasing.erase: list(generation.outputs.select_for_update(no_key=True).order_by('pk'))  →  pass": (
        f"{_NO_ROW_LOCKS}: tests/generations/lifecycle/test_erasing.py."
    ),
    (
        "orders.Order.arguments_hash: lf.arguments], sort_keys=True, separators=(  →  lf.arguments], sort_keys=False, "
        "separators=("
    ): (
        "Equivalent: the arguments come in the order of their declaration. Sorting is for a catalogue that declares "
        "them in another order."
    ),
    "ending.top: @repeated def give_up  →  def give_up": _STILL_ATOMIC,
    "answering.top: @repeated def answered_er  →  def answered_er": _STILL_ATOMIC,
    "cancelling.top: @repeated def cancel_sent  →  def cancel_sent": _STILL_ATOMIC,
    "cancelling.top: @repeated def cancelled  →  def cancelled": _STILL_ATOMIC,
}
