"""Staff with and without permissions, in front of the admin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.fixtures.pages import alice, finished, order, tidy_connections

__all__ = ["alice", "finished", "order", "tidy_connections"]

Staff = Callable[..., Client]


@pytest.fixture
def staff(db: None) -> Staff:
    """`staff("view_generation")`: a browser of somebody of the staff who has these permissions."""

    def hire(*codenames: str) -> Client:
        user = User.objects.create_user("-".join(["sam", *codenames])[:150], is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        return _browser(user)

    return hire


@pytest.fixture
def chief(db: None) -> Client:
    return _browser(User.objects.create_superuser("chief"))


def _browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
