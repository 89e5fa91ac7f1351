"""Two customers: Alice has 100 credits, Bob has none."""

from __future__ import annotations

import pytest

from credits.models import Account
from tests.credits.tables import open_account


@pytest.fixture
def alice(db: None) -> Account:
    return open_account("alice", credits=100)


@pytest.fixture
def bob(db: None) -> Account:
    return open_account("bob")
