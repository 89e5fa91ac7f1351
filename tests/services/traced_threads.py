"""Starts threads one after another while coverage is measured.

coverage has `sys.settrace` called in each new thread. CPython 3.11 has one flag for all threads there: a thread that
calls it while another one does gets a RuntimeError, and ends before its first line. A test that waits for it, as at a
barrier, waits in vain.
"""

from __future__ import annotations

import threading

from tests.services.waiting import HANG_SECONDS

_start = threading.Thread.start
_lock = threading.Lock()


def start_one_after_another() -> None:
    """Replace `Thread.start` of this process."""
    threading.Thread.start = _start_alone  # type: ignore[assignment]


def _start_alone(thread: threading.Thread) -> None:
    if threading.gettrace() is None:
        _start(thread)
        return
    run, is_traced = thread.run, threading.Event()

    def run_traced() -> None:
        is_traced.set()
        run()

    thread.run = run_traced  # type: ignore[method-assign]
    with _lock:
        _start(thread)
        is_traced.wait(HANG_SECONDS)
