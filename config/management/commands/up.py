"""`make run`: all of Limn in one terminal, from an empty folder to a page to open."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from config.management import demo_login, local_http, ports
from config.management.commands.serve import granian
from config.management.supervisor import Part

READY_SECONDS_MAX = 120.0
# A service manager gives ten seconds. The web server takes at most eight of them.
END_SECONDS_MAX = 9.0
SECONDS_BETWEEN_LOOKS = 0.2

SIMULATOR = "simulator"

Found = TypeVar("Found")

WELCOME = """
  Limn is running.

    Open      {site}/
    Log in    {username}   {password}
    API key   {token}

  Order a picture:

    curl {site}/api/v1/generations/ \\
      -H 'Authorization: Token {token}' -H 'Content-Type: application/json' \\
      -d '{{"model": "flux-schnell", "input": {{"prompt": "a lighthouse at dusk, gouache"}}}}'

  Look at it: open the “page” of its answer's “urls”, or find it on {site}/

  Ctrl-C ends Limn. Logs: {logs}
"""


class Command(BaseCommand):
    help = "Run Limn: web server, worker and, where no FAL_KEY is set, a simulated fal. Ctrl-C ends them all."
    requires_system_checks = ("limn",)

    def handle(self, **options: Any) -> None:
        if not ports.is_free(settings.PORT):
            raise CommandError(
                f"Port {settings.PORT} is in use. End what runs there, or choose another: "
                f"PORT={settings.PORT + 10} make run"
            )
        self.parts: list[Part] = []
        self.logs = Path(settings.DATA_DIR) / "logs"
        self.logs.mkdir(exist_ok=True)
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with self._ending_in_order():
            self._run()

    def _run(self) -> None:
        simulator = None if settings.FAL_KEY else self._start_simulator()
        self._prepare_database()
        self._meet_fal(simulator)
        self._start("worker", "manage.py", "work")
        # whitenoise warns about a missing folder; pages are served from static/ without collecting anything.
        settings.STATIC_ROOT.mkdir(exist_ok=True)
        # What `manage.py serve` becomes. One process is enough for a newcomer, and is there sooner.
        self._start("server", *granian(host="127.0.0.1", port=settings.PORT, workers=1, threads=8))
        here = f"http://127.0.0.1:{settings.PORT}"
        self._wait_for(lambda: local_http.status(f"{here}/health/ready") == 200, what=f"{here}/health/ready")
        self._welcome(here)
        while True:
            self._look()
            time.sleep(SECONDS_BETWEEN_LOOKS)

    # --- Beginning ---

    def _start_simulator(self) -> str:
        """Its address. It makes itself ready while we look after the database."""
        folder = Path(settings.DATA_DIR) / "simulator"
        folder.mkdir(exist_ok=True)
        port = _port_of_the_simulator(folder / "port")
        self._start(SIMULATOR, "-m", "simulator", "--port", str(port), "--data-dir", str(folder))
        return f"http://127.0.0.1:{port}"

    def _prepare_database(self) -> None:
        call_command("migrate", verbosity=0, interactive=False)
        self._say("database", f"{connection.display_name}, up to date")
        _let_go_of_the_database()

    def _meet_fal(self, simulator: str | None) -> None:
        if simulator is None:
            self._say("fal", settings.FAL_QUEUE_URL)
            return
        told = self._wait_for(lambda: local_http.read_json(f"{simulator}/_simulator/environment"), what="The simulator")
        self.environment |= told
        # For commands beside us that ask fal: docs/simulator.md.
        ours = Path(settings.DATA_DIR) / "simulator" / "environment"
        ours.touch(mode=0o600)
        ours.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        self._say("fal", f"simulated on {simulator}, as no FAL_KEY is set; nothing costs anything")

    def _start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        part = Part(name, command, environment=self.environment, folder=settings.BASE_DIR, logs=self.logs)
        part.start()
        self.parts.append(part)

    def _wait_for(self, condition: Callable[[], Found], *, what: str) -> Found:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not (found := condition()):
            for part in self.parts:
                if not part.is_running:
                    raise CommandError(f"The {part.name} ended while Limn was starting:\n{part.last_words()}")
            if time.monotonic() > deadline:
                raise CommandError(f"{what} was not ready in {READY_SECONDS_MAX:g} s. Logs: {_short(self.logs)}")
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return found

    def _welcome(self, here: str) -> None:
        login = demo_login.login(Path(settings.DATA_DIR) / "demo.json", here)
        _let_go_of_the_database()
        self.stdout.write(
            WELCOME.format(
                site=settings.SITE_URL,
                username=login.username,
                password=login.password,
                token=login.token,
                logs=_short(self.logs),
            )
        )
        self.stdout.flush()

    # --- Running ---

    def _look(self) -> None:
        for part in self.parts:
            for news in part.look():
                self._say(part.name, news)

    # --- Ending ---

    @contextmanager
    def _ending_in_order(self) -> Iterator[None]:
        """However this ends, all parts end with it; nothing is left for the next start to trip over."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        try:
            yield
        except KeyboardInterrupt:
            self.stdout.write("\n  Ending …")
        finally:
            self._end()

    def _end(self) -> None:
        """The simulator last: a worker that is asking it something still gets its answer."""
        deadline = time.monotonic() + END_SECONDS_MAX
        simulator = [part for part in self.parts if part.name == SIMULATOR]
        for parts in ([part for part in self.parts if part not in simulator], simulator):
            for part in parts:
                part.ask_to_end()
            for part in parts:
                part.reap(within_seconds=deadline - time.monotonic())

    def _say(self, who: str, what: str) -> None:
        self.stdout.write(f"  {who:<9} {what}")
        self.stdout.flush()


def _port_of_the_simulator(path: Path) -> int:
    """The same at every start: addresses of running requests contain it."""
    remembered = int(path.read_text()) if path.exists() else settings.PORT + 1
    port = remembered if ports.is_free(remembered) else ports.free_port()
    path.write_text(str(port))
    return port


def _let_go_of_the_database() -> None:
    """Children are started by a fork, and a fork does not mix with the threads of a connection pool."""
    connection.close()
    close_pool = getattr(connection, "close_pool", None)
    if close_pool is not None:
        close_pool()


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
