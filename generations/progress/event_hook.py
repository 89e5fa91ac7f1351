"""The one hook of the lifecycle: it is called with every event, in the transaction that writes the event.

`notifications` registers here when Django starts, so that a customer is notified if, and only if, the event is
committed. The lifecycle itself does not know who listens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from generations.models import Event

EventListener = Callable[[Sequence[Event]], None]
"""Called with events of one account, each with its generation as it is after the move. What it raises rolls it back."""

_listeners: list[EventListener] = []


def on_event(listener: EventListener) -> None:
    """Register a listener for all events. Called from `AppConfig.ready`; registering twice has no effect."""
    if listener not in _listeners:
        _listeners.append(listener)


def events_recorded(events: Sequence[Event]) -> None:
    """Call every listener with events of one account. The caller is inside their transaction."""
    for listener in _listeners:
        listener(events)
