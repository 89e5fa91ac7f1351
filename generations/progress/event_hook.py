"""The one hook of the lifecycle: it is called with every event, in the transaction that writes the event.

`notifications` registers here when Django starts, so that a customer is notified if, and only if, the event is
committed. The lifecycle itself does not know who listens.
"""

from __future__ import annotations

from collections.abc import Callable

from generations.models import Event, Generation

EventListener = Callable[[Generation, Event], None]
"""Called with the generation as it is after the move, and the event. What it raises rolls the move back."""

_listeners: list[EventListener] = []


def on_event(listener: EventListener) -> None:
    """Register a listener for all events. Called from `AppConfig.ready`; registering twice has no effect."""
    if listener not in _listeners:
        _listeners.append(listener)


def event_recorded(generation: Generation, event: Event) -> None:
    """Call every listener. The caller is inside the transaction of the event."""
    for listener in _listeners:
        listener(generation, event)
