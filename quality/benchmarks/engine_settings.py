"""Limn's settings with another engine behind Django Tasks, for the benchmark that compares them.

BENCHMARK_ENGINE names the engine. Everything else is as in production; the engines that Limn does not use are adapted
here, in few lines each, to what `manage.py work` expects of a consumer.
"""

from __future__ import annotations

import asyncio
import os
import threading
from importlib import import_module
from typing import Any

from django.utils.module_loading import import_string
from django_tasks.backends.base import BaseTaskBackend
from django_tasks.base import Task

from config import queue, settings
from config.settings import *  # noqa: F403

ENGINE = os.environ["BENCHMARK_ENGINE"]
POLL_SECONDS = {"polling, 1 s": 1.0, "polling, 50 ms": 0.05}


class NoConsumer:
    """Without messages the loops are woken by the search for due rows alone."""

    def start(self) -> None:
        # It imports models, which need the settings.
        work = vars(import_module("config.management.commands.work"))
        work["WATCH_SECONDS"] = POLL_SECONDS.get(ENGINE, work["WATCH_SECONDS"])

    def stop(self) -> None:
        pass


class ThreadConsumer(NoConsumer):
    """Receives messages in a thread, which ends with the process."""

    def start(self) -> None:
        threading.Thread(target=self.run, daemon=True, name="consumer").start()

    def run(self) -> None:
        raise NotImplementedError


class DropMessages(BaseTaskBackend):
    """Sends nothing."""

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> Any:
        pass


class DjangoTasksDb(ThreadConsumer):
    """The worker of django-tasks-db, with a shorter pause than its default of a second."""

    def run(self) -> None:
        # Installed for this engine only.
        worker = import_module("django_tasks_db.management.commands.db_worker").Worker
        worker(
            queue_names=["*"],
            interval=0.05,
            batch=False,
            backend_name="default",
            startup_delay=False,
            max_tasks=None,
            worker_id=f"benchmark{os.getpid()}",
            excluded_queue_names=[],
        ).run()


def _procrastinate(connector: str) -> Any:
    """Return an app of procrastinate with its one task, which sets the events of the loops."""
    # Installed for this engine only.
    procrastinate = import_module("procrastinate")
    app = procrastinate.App(connector=getattr(procrastinate, connector)(conninfo=os.environ["DATABASE_URL"]))

    app.task(name="wake")(_wake)
    return app


def _wake(names: list[str]) -> None:
    import_string("generations.workers.tasks.wake_loops").call(names)


class ProcrastinateBackend(BaseTaskBackend):
    """Sends a message with procrastinate. It has no backend for Django Tasks of its own."""

    _app: Any = None

    def enqueue(self, task: Task[Any, Any], args: Any, kwargs: Any) -> Any:
        if self._app is None:
            self._app = _procrastinate("SyncPsycopgConnector")
            self._app.open()
        self._app.configure_task("wake").defer(names=args[0])


class Procrastinate(ThreadConsumer):
    """The worker of procrastinate, which listens for notifications."""

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        app = _procrastinate("PsycopgConnector")
        async with app.open_async():
            await app.run_worker_async(install_signal_handlers=False, delete_jobs="always", concurrency=1)


def _use(backend: str, consumer: type[NoConsumer]) -> None:
    settings.TASKS["default"] = {"BACKEND": backend, "QUEUES": []}
    queue.consumer = lambda huey: consumer()


match ENGINE:
    case "Huey, SQLite":
        file = str(settings.DATA_DIR / "benchmark-queue.sqlite3")
        HUEY = queue.options(settings.SECRET_KEY, redis_url="", database_url="", sqlite_file=file)
    case "Huey, PostgreSQL" | "Huey, Redis":
        pass  # DATABASE_URL and REDIS_URL choose them.
    case "django-tasks-db":
        settings.INSTALLED_APPS.append("django_tasks_db")
        _use("django_tasks_db.DatabaseBackend", DjangoTasksDb)
    case "procrastinate":
        _use("quality.benchmarks.engine_settings.ProcrastinateBackend", Procrastinate)
    case _:
        _use("quality.benchmarks.engine_settings.DropMessages", NoConsumer)
