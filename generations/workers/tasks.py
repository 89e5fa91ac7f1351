"""Nudges: "look now". They may be lost, doubled or late; the rows are the truth and the sweep finds them anyway."""

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
    """Ask fal about it now, not at its next turn."""
    Generation.objects.in_progress().filter(pk=generation_id, next_attempt_at__gt=Now()).update(next_attempt_at=Now())
    _nudge(reconcile, generation_id)


def enqueue_copy(generation_id: UUID) -> None:
    _nudge(copy, generation_id)


def _nudge(which: Task[Any, Any], generation_id: UUID) -> None:
    try:
        which.enqueue(str(generation_id))
    except Exception:
        # The queue is away: the sweep finds the row within seconds, and nobody is told an error for that.
        logger.warning("a nudge was lost", extra={"task": which.name, "generation": str(generation_id)}, exc_info=True)


@receiver(task_finished)
def _forget_result(task_result: Any, **kwargs: Any) -> None:
    # Nobody reads a nudge's result, and Huey would keep it for ever.
    HUEY.delete(KEY % task_result.id)
