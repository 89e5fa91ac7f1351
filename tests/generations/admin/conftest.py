"""Staff with and without permissions, each in a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.fixtures.pages import alice, close_fal_clients, finished, order

__all__ = ["alice", "close_fal_clients", "finished", "order"]

Staff = Callable[..., Client]


@pytest.fixture
def staff(db: None) -> Staff:
    """`staff("view_generation")` is the browser of a staff member with exactly these permissions."""

    def submit_many(*codenames: str) -> Client:
        permissions = Permission.objects.filter(codename__in=codenames)
        # A misspelt permission would make every test of a missing permission pass.
        assert {permission.codename for permission in permissions} == set(codenames)
        user = User.objects.create_user("-".join(["sam", *codenames])[:150], is_staff=True)
        user.user_permissions.set(permissions)
        return logged_in(user)

    return submit_many


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(User.objects.create_superuser("chief"))


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client
