"""The account of a user, made at first sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from credits.models import Account

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def of(user: User) -> Account:
    """The user's account; an empty one is opened for a user who has none yet."""
    account, _ = Account.objects.get_or_create(user=user)
    return account
