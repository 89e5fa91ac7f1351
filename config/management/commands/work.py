"""`manage.py work`: all background work in one process.

Queue messages are handled as they come; beside them each worker polls its table every second. The tables decide what
is to be done, so a lost message costs a second. Any number of these processes may run, on any number of machines.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from huey.consumer import Consumer
from huey.contrib.djhuey import HUEY

from generations.jobs import leases
from generations.provider import billed_units
from generations.workers import (
    copier,
    eraser,
    heartbeats,
    reconciler,
    storage_cleaner,
    submitter,
    surplus_canceller,
    tasks,
)
from notifications import mailer, notifier
from operations import alerting

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
# The work mostly waits for the network. More rows at once would only compete for the same disk and line.
ROWS_AT_ONCE = 8
TASK_THREADS = 8
STOP_SECONDS_MAX = 8
# A worker that got a full batch polls again at once, since more is waiting. These do not: however long the backlog,
# one process asks fal about at most eight submissions a second.
UNHURRIED = {"reconciler", "billed_units"}
# Each name is also the name of the worker's heartbeat.
WORKERS: dict[str, Callable[..., int]] = {
    "submitter": submitter.run_once,
    "reconciler": reconciler.run_once,
    "copier": copier.run_once,
    "notifier": notifier.run_once,
    "mailer": mailer.run_once,
    "surplus_canceller": surplus_canceller.run_once,
    "eraser": eraser.run_once,
    "storage_cleaner": storage_cleaner.run_once,
    "billed_units": billed_units.run_once,
    "alerting": alerting.run_once,
}


class Command(BaseCommand):
    help = "Do all background work until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=TASK_THREADS, help="tasks at once (default %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.FAL_KEY:
            raise CommandError("FAL_KEY is not set. Set it to your key, or try Limn without one: make run")
        stop = threading.Event()
        consumer = Consumer(
            HUEY, workers=options["threads"], periodic=False, max_delay=1.0, shutdown_timeout=STOP_SECONDS_MAX
        )
        consumer.start()
        # Replaces Huey's handlers, which would end the process without releasing the leases.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        woken = {name: threading.Event() for name in WORKERS}
        tasks.run_here(woken)
        # One thread for each worker, so slow copies never delay submissions.
        threads = [
            threading.Thread(target=poll, args=(name, run_once, stop, woken[name]), name=name, daemon=True)
            for name, run_once in WORKERS.items()
        ]
        for thread in threads:
            thread.start()
        self.stdout.write("Working.")
        while not stop.wait(POLL_SECONDS * 2):
            try:
                heartbeats.beat("worker")
            except DatabaseError:
                connection.close()
        # Work that ends within the time is finished. The rest is released, and another process takes it at once.
        for event in woken.values():
            event.set()
        consumer.stop(graceful=True)
        for thread in threads:
            thread.join(timeout=0.3)
        leases.release_all()
        logging.shutdown()
        # Not sys.exit, which would wait for a thread that copies a large file.
        os._exit(0)


def poll(name: str, run_once: Callable[..., int], stop: threading.Event, woken: threading.Event) -> None:
    """Call `run_once` until `stop` is set, and record a heartbeat after each call. Runs in a thread of its own."""
    while not stop.is_set():
        woken.clear()
        handled = 0
        try:
            handled = run_once(limit=ROWS_AT_ONCE)
            heartbeats.beat(name)
        except DatabaseError as error:
            logger.error("the database is unavailable", extra={"worker": name, "error": str(error)[:200]})
            connection.close()
        except Exception:
            # The worker must go on: its rows would wait for ever.
            logger.exception("worker %s failed", name)
        has_more = handled == ROWS_AT_ONCE and name not in UNHURRIED
        woken.wait(0 if has_more else POLL_SECONDS)
    connection.close()
