"""`make run` recognises the data of a version before the present migrations, and refuses it."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db.migrations.recorder import MigrationRecorder

from config.management.commands import up

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_data_of_an_older_version_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    MigrationRecorder.Migration.objects.create(app="generations", name="0002_the_end_is_final")
    monkeypatch.setattr("config.management.ports.is_free", lambda port: True)

    with pytest.raises(CommandError, match=r"older version of Limn.*Move it away and start again: mv "):
        call_command("up")


def test_only_unknown_migrations_of_limns_own_apps_belong_to_an_older_version() -> None:
    MigrationRecorder.Migration.objects.create(app="removed_app", name="0001_initial")
    assert up.migrations_of_older_versions() == []

    MigrationRecorder.Migration.objects.create(app="credits", name="0002_entries_only_added")
    assert up.migrations_of_older_versions() == [("credits", "0002_entries_only_added")]
