"""Runs a real PgBouncer in transaction mode. Without one on the machine these tests are skipped."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from config.management import subprocesses
from config.management.ports import free_port
from tests.services import scratch
from tests.services.waiting import until

# PgBouncer refuses to run as root.
_UNPRIVILEGED = pwd.getpwuid(65534).pw_name if os.geteuid() == 0 else None
_CONFIGURATION = """
[databases]
{name} = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits, options
max_client_conn = 200
"""


def find_program() -> str | None:
    """The path of PgBouncer, if it is installed on this machine."""
    return shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


@contextmanager
def pgbouncer(database_url: str) -> Iterator[str]:
    """Run PgBouncer before the database for as long as the block lasts. Yields the URL with which to use it."""
    program = find_program()
    if program is None:
        pytest.skip("pgbouncer is missing. On Debian: apt-get install pgbouncer")
    with scratch.folder("pgbouncer") as folder, (folder / "log").open("wb") as log:
        folder.chmod(0o755)
        port = free_port()
        url = urlsplit(database_url)
        file = folder / "pgbouncer.ini"
        name = url.path.strip("/")
        file.write_text(
            _CONFIGURATION.format(name=name, host=url.hostname, port=url.port, user=url.username, listen=port)
        )
        command: list[str | Path] = [program, file]
        process = subprocesses.start(command, output=log, user=_UNPRIVILEGED)
        try:
            through = f"postgresql://{url.username}@127.0.0.1:{port}/{name}"
            until(lambda: _answers(through), what="PgBouncer")
            yield through
        finally:
            subprocesses.kill(process)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
