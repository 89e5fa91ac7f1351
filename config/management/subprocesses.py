"""Child processes that end with their parent and are always reaped.

Used by the supervisor of `manage.py up`, by the benchmarks, by the chaos test and by the tests.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def start(
    command: Sequence[str | Path],
    *,
    output: IO[bytes] | int | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user: str | None = None,
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, so Ctrl-C at the terminal reaches only the parent, which ends it."""
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=None if environment is None else dict(environment),
        cwd=folder,
        user=user,
        start_new_session=True,
        preexec_fn=_prepare_child(os.getpid(), death_signal),  # noqa: PLW1509  (no threads here when children start)
    )


def ask(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM) -> None:
    """Send the signal, if the process is still running."""
    if process.poll() is None:
        process.send_signal(by)


def reap(process: subprocess.Popen[bytes], *, within_seconds: float) -> int:
    """Wait for the end of the process, and kill it after the time or at Ctrl-C. Returns its exit status."""
    try:
        return process.wait(timeout=max(0.0, within_seconds))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        return kill(process)


def stop(process: subprocess.Popen[bytes], *, within_seconds: float, by: signal.Signals = signal.SIGTERM) -> int:
    """Send the signal, and kill the process if it has not ended in time. Returns its exit status."""
    ask(process, by)
    return reap(process, within_seconds=within_seconds)


def kill(process: subprocess.Popen[bytes]) -> int:
    """Kill the whole session of the process, its own children included. Returns its exit status."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait()


def _prepare_child(parent: int, death_signal: signal.Signals) -> Callable[[], None]:
    """Return the function that the child runs between the fork and the execution of the command."""

    def prepare() -> None:
        # A background job of a shell ignores SIGINT, and so would every process that it starts.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if _LIBC is not None:
            # Linux sends the child this signal when its parent dies, even by kill -9.
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # The parent died before prctl was called.
                os._exit(1)

    return prepare
