"""The one hook of the lifecycle: it is called with every event, in the transaction that writes the event.

`notifications` registers here when Django starts, so that a customer is notified if, and only if, the event is
committed. The lifecycle itself does not know who listens. A listener says what it wants to know about the account, and
the statement that writes an event reads that as well: a query of its own would take as long as writing the event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from generations.models import Event

EventListener = Callable[[Sequence[Event], Any], None]
"""Called with events of one account, each with its generation as it is after the move, and with what was read about the
account. What it raises rolls the transaction back."""

_listeners: dict[EventListener, str] = {}
"""What each listener reads."""


def on_event(listener: EventListener, *, reads: str) -> None:
    """Register a listener for all events. Called from `AppConfig.ready`; registering twice has no effect.

    Args:
        reads: A subquery for one value about an account, with a placeholder for the account's id.
    """
    _listeners[listener] = reads


def reads_of(account_id: int) -> list[tuple[str, Sequence[Any]]]:
    """Return what the statement that writes an event of this account is to read: subqueries with their parameters."""
    return [(sql, [account_id]) for sql in _listeners.values()]


def events_recorded(events: Sequence[Event], values: Sequence[Any]) -> None:
    """Call every listener with events of one account. The caller is inside their transaction.

    Args:
        values: What the subqueries of `reads_of` have read.
    """
    for listener, value in zip(_listeners, values, strict=True):
        listener(events, value)
