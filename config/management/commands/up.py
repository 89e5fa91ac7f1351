"""`manage.py up`, for `make run`: all of Limn in one terminal, from an empty folder to a page to open."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from config.management import demo_login, local_http, ports
from config.management.commands.serve import granian
from config.management.supervisor import Program

READY_SECONDS_MAX = 120.0
# A service manager waits ten seconds. The web server takes at most eight of them.
END_SECONDS_MAX = 9.0
POLL_SECONDS = 0.2

SIMULATOR = "simulator"

Result = TypeVar("Result")

WELCOME = """
  Limn is running.

    Open      {site}/
    Log in    {username}   {password}
    API key   {token}

  Generate an image:

    curl {site}/api/v1/generations/ \\
      -H 'Authorization: Token {token}' -H 'Content-Type: application/json' \\
      -d '{{"model": "flux-schnell", "input": {{"prompt": "a lighthouse at dusk, gouache"}}}}'

  To see it, open `urls.page` of the response, or {site}/

  Ctrl-C ends Limn. Logs: {logs}
"""


class Command(BaseCommand):
    help = "Run Limn: web server, worker and, if FAL_KEY is not set, a simulated fal. Ctrl-C ends them all."
    requires_system_checks = ("limn",)

    def handle(self, **options: Any) -> None:
        if not ports.is_free(settings.PORT):
            raise CommandError(
                f"Port {settings.PORT} is in use. End what runs there, or choose another: "
                f"PORT={settings.PORT + 10} make run"
            )
        if migrations_of_older_versions():
            folder = _short(Path(settings.DATA_DIR))
            raise CommandError(
                f"{folder} holds the data of an older version of Limn, which this version cannot read. "
                f"Move it away and start again: mv {folder} limn-data.old && make run"
            )
        _close_database()
        self.programs: list[Program] = []
        self.logs = Path(settings.DATA_DIR) / "logs"
        self.logs.mkdir(exist_ok=True)
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with self._ending_in_order():
            self.run()

    def run(self) -> None:
        """Start everything, print the welcome, and keep the programs running until a signal comes."""
        simulator = None if settings.FAL_KEY else self._start_simulator()
        call_command("migrate", verbosity=0, interactive=False)
        self._print("database", f"{connection.display_name}, up to date")
        _close_database()
        self._connect_to_fal(simulator)
        self._start("worker", "manage.py", "work")
        # whitenoise warns about a missing folder. Pages are served from static/ without collecting anything.
        settings.STATIC_ROOT.mkdir(exist_ok=True)
        # What `manage.py serve` executes, with one process: enough for a newcomer, and ready sooner.
        self._start("server", *granian(host="127.0.0.1", port=settings.PORT, workers=1, threads=8))
        site = f"http://127.0.0.1:{settings.PORT}"
        self._wait_for(lambda: local_http.status(f"{site}/health/ready") == 200, what=f"{site}/health/ready")
        login = demo_login.login(Path(settings.DATA_DIR) / "demo.json", site)
        _close_database()
        names = {"username": login.username, "password": login.password, "token": login.token}
        self.stdout.write(WELCOME.format(site=settings.SITE_URL, logs=_short(self.logs), **names))
        self.stdout.flush()
        while True:
            for program in self.programs:
                for message in program.check():
                    self._print(program.name, message)
            time.sleep(POLL_SECONDS)

    def _start_simulator(self) -> str:
        """Start the simulator and return its URL. It gets ready while the database is migrated."""
        folder = Path(settings.DATA_DIR) / "simulator"
        folder.mkdir(exist_ok=True)
        # The same port at every start, because the URLs of running requests contain it.
        port_file = folder / "port"
        port = int(port_file.read_text()) if port_file.exists() else settings.PORT + 1
        if not ports.is_free(port):
            port = ports.free_port()
        port_file.write_text(str(port))
        self._start(SIMULATOR, "-m", "simulator", "--port", str(port), "--data-dir", str(folder))
        return f"http://127.0.0.1:{port}"

    def _connect_to_fal(self, simulator: str | None) -> None:
        if simulator is None:
            self._print("fal", settings.FAL_QUEUE_URL)
            return
        variables = self._wait_for(
            lambda: local_http.read_json(f"{simulator}/_simulator/environment"), what="The simulator"
        )
        self.environment |= variables
        # For manage.py commands that ask fal while Limn runs (docs/simulator.md).
        file = Path(settings.DATA_DIR) / "simulator" / "environment"
        file.touch(mode=0o600)
        file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
        self._print("fal", f"simulated on {simulator}, because FAL_KEY is not set; nothing costs anything")

    def _start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        program = Program(name, command, environment=self.environment, folder=settings.BASE_DIR, logs=self.logs)
        program.start()
        self.programs.append(program)

    def _wait_for(self, condition: Callable[[], Result], *, what: str) -> Result:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not (result := condition()):
            for program in self.programs:
                if not program.is_running:
                    raise CommandError(f"The {program.name} ended while Limn was starting:\n{program.last_lines()}")
            if time.monotonic() > deadline:
                raise CommandError(f"{what} was not ready in {READY_SECONDS_MAX:g} s. Logs: {_short(self.logs)}")
            time.sleep(POLL_SECONDS)
        return result

    @contextmanager
    def _ending_in_order(self) -> Iterator[None]:
        """End all programs when the block ends, for whatever reason, so that none runs when Limn is started again."""
        # SIGINT as well: a background job of a shell starts with SIGINT ignored.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            yield
        except KeyboardInterrupt:
            self.stdout.write("\n  Ending …")
        finally:
            deadline = time.monotonic() + END_SECONDS_MAX
            # The simulator last: a worker that is asking it still gets its answer.
            simulator = [program for program in self.programs if program.name == SIMULATOR]
            for programs in ([program for program in self.programs if program not in simulator], simulator):
                for program in programs:
                    program.ask_to_end()
                for program in programs:
                    program.reap(within_seconds=deadline - time.monotonic())

    def _print(self, name: str, message: str) -> None:
        self.stdout.write(f"  {name:<9} {message}")
        self.stdout.flush()


def migrations_of_older_versions() -> list[tuple[str, str]]:
    """Return the migrations (app, name) that an older version of Limn applied and that no longer exist."""
    loader = MigrationLoader(connection)
    own_apps = {config.label for config in apps.get_app_configs() if Path(config.path).parent == settings.BASE_DIR}
    return [key for key in loader.applied_migrations if key[0] in own_apps and key not in loader.disk_migrations]


def _close_database() -> None:
    """Close the connection and its pool: programs are started by a fork, which must not happen while it has threads."""
    connection.close()
    close_pool = getattr(connection, "close_pool", None)
    if close_pool is not None:
        close_pool()


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
