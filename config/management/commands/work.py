"""All background work in one process: tasks as they come, and a sweep over the rows that finds what tasks forgot."""

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
from generations.workers import copier, eraser, heartbeats, reconciler, storage_cleaner, submitter, surplus_canceller
from notifications import mailer, notifier
from operations import alerting

logger = logging.getLogger(__name__)

# The sweep is the truth and the tasks are the speed: without any task, nothing waits longer than this.
SWEEP_SECONDS = 1.0
# Two cores and a network that mostly waits; more rows at once would only queue up for the same disk and line.
ROWS_AT_ONCE = 8
TASK_THREADS = 8
STOP_SECONDS_MAX = 8
# A full batch means that more is waiting, and is followed by the next at once. Not so the reconciler's: whatever the
# backlog, fal is asked about no more than eight jobs a second by one process.
UNHURRIED = {"reconciler", "accountant"}
SWEEPS: dict[str, Callable[..., int]] = {
    "submitter": submitter.run_once,
    "reconciler": reconciler.run_once,
    "copier": copier.run_once,
    "notifier": notifier.run_once,
    "mailer": mailer.run_once,
    "reaper": surplus_canceller.run_once,
    "eraser": eraser.run_once,
    "sweeper": storage_cleaner.run_once,
    "accountant": billed_units.run_once,
    "watchman": alerting.run_once,
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
        # After Huey's own, which would end the process without handing anything back.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        loops = _start_sweeping(stop)
        self.stdout.write("Working.")
        _keep_beating(stop)
        _finish(consumer, loops)


def _start_sweeping(stop: threading.Event) -> list[threading.Thread]:
    """One loop a worker, so that slow copies never keep orders waiting."""
    loops = [
        threading.Thread(target=_sweep, args=(name, run_once, stop), name=name, daemon=True)
        for name, run_once in SWEEPS.items()
    ]
    for loop in loops:
        loop.start()
    return loops


def _sweep(name: str, run_once: Callable[..., int], stop: threading.Event) -> None:
    while not stop.is_set():
        handled = 0
        try:
            handled = run_once(limit=ROWS_AT_ONCE)
            heartbeats.beat(name)
        except DatabaseError as error:
            logger.error("the database is away", extra={"worker": name, "error": str(error)[:200]})
            connection.close()
        except Exception:
            # A sweep that died would be a stuck queue; one that logs and goes on is a line to read.
            logger.exception("the %s stumbled", name)
        hurry = handled == ROWS_AT_ONCE and name not in UNHURRIED
        stop.wait(0 if hurry else SWEEP_SECONDS)
    connection.close()


def _keep_beating(stop: threading.Event) -> None:
    while not stop.wait(SWEEP_SECONDS * 2):
        try:
            heartbeats.beat("worker")
        except DatabaseError:
            connection.close()


def _finish(consumer: Consumer, loops: list[threading.Thread]) -> None:
    """Finish what is at hand if that takes seconds, and hand the rest back for another worker to take at once."""
    consumer.stop(graceful=True)
    for loop in loops:
        loop.join(timeout=0.3)
    leases.release_all()
    logging.shutdown()
    # Not sys.exit: a copy of a large file in another thread must not hold the process back.
    os._exit(0)
