"""`manage.py work`: all background work in one process.

The tables decide what is to be done. Queue messages only wake the loops (`workers.loops`), so a lost one costs a
second. Any number of these processes may run, on any number of machines.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from huey.contrib.djhuey import HUEY

from config import queue
from generations.jobs import leases
from generations.provider import billed_units
from generations.workers import (
    callback_inbox,
    copier,
    eraser,
    reconciler,
    storage_cleaner,
    storage_state,
    submitter,
    surplus_canceller,
)
from generations.workers.loops import WATCH_SECONDS, Loops, Worker
from notifications import mailer, notifier
from operations import alerting, metric_sums

logger = logging.getLogger(__name__)

# After SIGTERM, for the calls that are running.
STOP_SECONDS_MAX = 1.5
# Then for the release of the leases. Service managers wait ten seconds for all of it.
RELEASE_SECONDS_MAX = 6.0
WORKERS = (
    # The pause collects the callbacks of a burst, which share a transaction. The first one does not wait.
    Worker(name="callback_inbox", run_once=callback_inbox.run_once, due=callback_inbox.due, rows=32, busy_seconds=0.03),
    Worker(name="submitter", run_once=submitter.run_once, due=submitter.due),
    # However long the backlog, one process asks fal about at most 32 running jobs a second.
    Worker(name="reconciler", run_once=reconciler.run_once, due=reconciler.due, busy_seconds=0.25),
    Worker(name="copier", run_once=copier.start_due, due=copier.due),
    # Credits that crossed a threshold, and batches that have ended, are found by the calls alone.
    Worker(name="notifier", run_once=notifier.run_once, due=notifier.due, idle_seconds=5),
    Worker(name="mailer", run_once=mailer.run_once, due=mailer.due, idle_seconds=5),
    Worker(name="surplus_canceller", run_once=surplus_canceller.run_once, due=surplus_canceller.due),
    Worker(name="eraser", run_once=eraser.run_once, due=eraser.due),
    Worker(name="storage_cleaner", run_once=storage_cleaner.run_once),
    Worker(name="billed_units", run_once=billed_units.run_once, rows=32, idle_seconds=5),
    # Most of its calls do nothing, and execute no statement.
    Worker(name="alerting", run_once=alerting.run_once, idle_seconds=1),
    Worker(name="metric_sums", run_once=metric_sums.run_once),
)


class Command(BaseCommand):
    help = "Do all background work until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.FAL_KEY:
            raise CommandError("FAL_KEY is not set. Set it to your key, or try Limn without one: make run")
        try:
            storage_state.refuse_foreign()
        except storage_state.StorageRefused as error:
            raise CommandError(str(error)) from error
        storage_state.guard()
        consumer = queue.consumer(HUEY)
        loops = Loops(WORKERS)
        threads = loops.start()
        consumer.start()
        # Replaces Huey's handlers, which would end the process without releasing the leases. Unlike the methods of
        # threading.Event, SimpleQueue.put may be called by a signal handler.
        signals: SimpleQueue[int] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: signals.put(number))
        self.stdout.write("Working.")
        status = 1
        try:
            wait_for_signal(signals, loops)
            consumer.stop()
            loops.stop()
            status = 0
        except Exception:
            logger.exception("the worker process ends because of an error")
        finally:
            # Not sys.exit, which would wait for a thread that copies a large file.
            end(threads, status=status)


def wait_for_signal(signals: SimpleQueue[int], loops: Loops) -> None:
    """Watch the loops until a signal comes."""
    while True:
        try:
            signals.get(timeout=WATCH_SECONDS)
        except Empty:
            loops.watch()
        else:
            return


def end(threads: Sequence[Thread], *, status: int) -> NoReturn:
    """End the process with `status` within 1.5 + 6 s, whatever its threads, a lock or the database do."""
    try:
        # Work that ends within the time is finished. The rest is released, and another process takes it at once.
        leases.stop_claiming()
        deadline = monotonic() + STOP_SECONDS_MAX
        for thread in threads:
            thread.join(timeout=max(0.0, deadline - monotonic()))
        # In a thread, because a database that is cut off answers nothing for longer than that.
        releasing = Thread(target=leases.release_all, daemon=True)
        releasing.start()
        releasing.join(timeout=RELEASE_SECONDS_MAX)
        logging.shutdown()
    finally:
        os._exit(status)
