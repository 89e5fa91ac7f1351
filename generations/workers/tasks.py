"""Queue messages that tell a worker to look at a generation now.

Losing one is harmless, and so is receiving one twice: the workers poll the tables every second anyway.
"""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.dispatch import receiver
from django_tasks import task
from django_tasks.base import Task
from django_tasks.signals import task_finished
from huey.contrib.djhuey import HUEY
from huey.contrib.djhuey.tasks_backend import KEY

from generations.models import Generation
from generations.workers import copier, reconciler

logger = logging.getLogger(__name__)


@task()
def reconcile(generation_id: str) -> None:
    reconciler.reconcile_one(UUID(generation_id))


@task()
def copy(generation_id: str) -> None:
    copier.copy_generation(UUID(generation_id))


def enqueue_reconcile(generation_id: UUID) -> None:
    """Make the generation due now, and tell a worker to ask fal about it."""
    Generation.objects.in_progress().filter(pk=generation_id, next_attempt_at__gt=Now()).update(next_attempt_at=Now())
    _enqueue(reconcile, generation_id)


def enqueue_copy(generation_id: UUID) -> None:
    """Tell a worker to copy the outputs of the generation now."""
    _enqueue(copy, generation_id)


def _enqueue(which: Task[Any, Any], generation_id: UUID) -> None:
    try:
        which.enqueue(str(generation_id))
    except Exception:
        # The queue is unavailable. A worker finds the row within seconds, so the caller is not told an error.
        extra = {"task": which.name, "generation": str(generation_id)}
        logger.warning("a queue message was lost", extra=extra, exc_info=True)


@receiver(task_finished)
def _delete_result(task_result: Any, **kwargs: Any) -> None:
    # The results are never read, and Huey would keep them for ever.
    HUEY.delete(KEY % task_result.id)
