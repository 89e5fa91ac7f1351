"""`manage.py serve`: the web server for production. Granian in WSGI mode, behind a proxy that terminates TLS."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.management import ports
from generations.workers import storage_state

# A client that sends its headers more slowly is disconnected, so slow clients occupy no threads.
HEADER_SECONDS_MAX = 10
# After SIGTERM running requests may finish. Callbacks take milliseconds, and long polling ends by itself.
GRACE_SECONDS = 6


class Command(BaseCommand):
    help = "Serve Limn's pages and API. SIGTERM lets running requests finish."
    # Only Limn's own checks: the others import every page, which takes a second, and run in `manage.py check`.
    requires_system_checks = ("limn",)

    def add_arguments(self, parser: ArgumentParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        where.add_argument("--all-interfaces", dest="host", action="store_const", const="0.0.0.0")  # noqa: S104
        parser.add_argument("--port", type=int, default=settings.PORT, help="default: PORT, %(default)s")
        parser.add_argument("--workers", type=int, default=2, help="processes (default: %(default)s)")
        parser.add_argument("--threads", type=int, default=8, help="threads in each (default: %(default)s)")

    def handle(self, *, host: str, port: int, workers: int, threads: int, **options: Any) -> None:
        if not settings.FAL_KEY:
            raise CommandError("FAL_KEY is not set. Set it to your key, or try Limn without one: make run")
        if not ports.is_free(port, host):
            raise CommandError(f"Port {port} is in use. End what runs there, or choose another: --port {port + 10}")
        try:
            storage_state.refuse_foreign()
        except storage_state.StorageRefused as error:
            raise CommandError(str(error)) from error
        # whitenoise warns about a missing folder. Pages are served from static/ without collecting anything.
        settings.STATIC_ROOT.mkdir(exist_ok=True)
        # Half of them may serve long polling; see generations.http.long_polling.
        os.environ["LIMN_WEB_THREADS"] = str(threads)
        # This process becomes the server, so signals reach it, and Django is in memory once.
        command = [sys.executable, *granian(host=host, port=port, workers=workers, threads=threads)]
        os.execv(sys.executable, command)  # noqa: S606


def granian(*, host: str, port: int, workers: int, threads: int) -> list[str]:
    """Return the arguments of `python` that start the web server."""
    return [
        *("-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"),
        *("--host", host, "--port", str(port)),
        *("--workers", str(workers), "--blocking-threads", str(threads), "--respawn-failed-workers"),
        *("--http1-header-read-timeout", str(HEADER_SECONDS_MAX * 1000)),
        *("--workers-kill-timeout", str(GRACE_SECONDS)),
        *("--log-level", "error", "--no-access-log"),
        *("--working-dir", str(settings.BASE_DIR), "config.wsgi:application"),
    ]
