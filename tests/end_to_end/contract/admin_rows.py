"""A row of every table in the admin. The tests of permissions fail if a new table has no line here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.utils import timezone

from accounts.models import UserLimits
from credits.models import Account
from generations.models import (
    CircuitBreaker,
    Erasure,
    FalAccount,
    Heartbeat,
    OrderIntake,
    PriceBookEntry,
    ProviderCallback,
    Retention,
    StorageReport,
    Submission,
)
from notifications.models import EmailNotification
from operations.models import Charge


def one_of_each(user: User) -> dict[str, Model]:
    """A row of each table, by the prefix of its routes in the admin, such as `generations_upload`.

    Args:
        user: The owner of the rows. Tables of generations have rows of hers already.
    """
    account, submission = Account.objects.for_user(user), Submission.objects.all()[0]
    now = timezone.now()
    Group.objects.create(name="support")
    FalAccount.objects.get_or_create(defaults={"user_id": "fal-user", "pinned_by": submission})
    Heartbeat.objects.update_or_create(name="storage_cleaner", defaults={"seen_at": now})
    StorageReport.objects.create(unknown_files=1, unknown_bytes=1, missing_files=0, ended_at=now)
    CircuitBreaker.objects.get_or_create(id=1)
    OrderIntake.objects.get_or_create(id=1)
    UserLimits.objects.create(account=account)
    PriceBookEntry.objects.create(model="flux-schnell", percent=110, actor="staff:chief")
    ProviderCallback.objects.create(submission=submission, request_id="r", body_sha256="b", body=b"{}")
    Charge.objects.create(submission=submission, request_id="r", endpoint="e", billed_at=now, units=1, dollars=1)
    EmailNotification.objects.create(account=account, generation=submission.generation)
    Erasure.objects.get_or_create(generation=submission.generation, defaults={"asked_by": "user:alice"})
    Retention.objects.update_or_create(account=account, defaults={"days": 30})
    models: list[Any] = list(admin.site._registry)
    return {f"{model._meta.app_label}_{model._meta.model_name}": model.objects.all()[0] for model in models}
