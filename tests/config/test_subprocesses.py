"""Child processes start with default signals, and end with their parent."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.management import subprocesses
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]

FOREVER = "import signal; signal.pause()"


@pytest.fixture
def sigint_is_ignored() -> Iterator[None]:
    """As in a background job of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_child_of_a_background_job_can_be_interrupted(sigint_is_ignored: None, tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
        child = subprocesses.start([sys.executable, "-c", code], output=log)

    assert child.wait() == 0
    assert (tmp_path / "log").read_text() == "True\n"


def test_a_child_dies_with_its_parent_even_by_kill_9() -> None:
    code = f"from config.management import subprocesses; import sys; \
        print(subprocesses.start([sys.executable, '-c', '{FOREVER}']).pid, flush=True); {FOREVER}"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.stdout.close()

    parent.send_signal(signal.SIGKILL)
    parent.wait()

    assert until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_killing_a_child_ends_its_children_too(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{FOREVER}']).pid, flush=True); \
            {FOREVER}"
        child = subprocesses.start([sys.executable, "-c", code], output=log)
    grandchild = psutil.Process(int(until((tmp_path / "log").read_text)))

    status = subprocesses.kill(child)

    assert status == -signal.SIGKILL
    assert until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)
