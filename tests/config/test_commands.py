"""A `manage.py` command that orders or changes something refuses to while the clock of its process is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand

from credits.models import Account, Entry
from database.commands import ActingCommand
from generations.models import Generation
from generations.ordering import order_intake
from tests.helpers.clocks import process_clock_ahead

pytestmark = pytest.mark.django_db
# They wait until the clock is right, and say so meanwhile.
PROCESSES = {"serve", "up", "work"}
READ_ONLY = {"audit_ledger", "check_invariants", "import_model", "sync_prices"}
ACTING: dict[str, tuple[Any, ...]] = {
    "claim_storage": (),
    "demo_user": (),
    "generate": ("a cat", "--model", "flux-schnell", "--user", "alice", "--timeout", "0"),
    "grant_credits": ("alice", "5"),
    "intake": ("pause",),
    "reconcile_bill": (),
    "unknown_files": ("--delete", "0"),
}


def own_commands() -> dict[str, BaseCommand]:
    """Every command of Limn's own apps, by its name."""
    own = {path.parent.name for path in Path(settings.BASE_DIR).glob("*/apps.py")} | {"config"}
    return {name: load_command_class(app, name) for name, app in get_commands().items() if app in own}


@pytest.mark.once
def test_every_command_that_acts_asks_for_the_clock() -> None:
    acting = {name for name, command in own_commands().items() if isinstance(command, ActingCommand)}

    assert acting == {*ACTING}
    assert {*own_commands()} - acting == PROCESSES | READ_ONLY


@pytest.mark.only_postgresql
@pytest.mark.parametrize("hours", [-7, 7])
@pytest.mark.parametrize("name", ACTING)
def test_e14_a_command_with_a_wrong_clock_does_nothing(name: str, hours: int, alice: Account) -> None:
    before = Entry.objects.count()

    with process_clock_ahead(timedelta(hours=hours)), pytest.raises(CommandError, match="Nothing was done") as refused:
        call_command(name, *ACTING[name])

    assert refused.value.returncode == 1
    assert ("ahead of" in str(refused.value)) == (hours > 0)
    assert not Generation.objects.exists()
    assert (Entry.objects.count(), User.objects.count(), order_intake.is_paused()) == (before, 1, False)


@pytest.mark.only_postgresql
def test_e14_a_command_whose_clock_is_a_little_wrong_does_its_work(alice: Account) -> None:
    """Negative control."""
    with process_clock_ahead(timedelta(seconds=20)):
        call_command("grant_credits", "alice", "5")

    assert Entry.objects.latest("pk").balance_change == 5
