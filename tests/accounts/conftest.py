"""Two users, and a way to issue keys."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def chief(db: None) -> User:
    """A superuser with a password."""
    return User.objects.create_superuser("chief", password="correct horse")
