"""`make run` refuses the data of a version before the present migrations, and says what to do."""

from __future__ import annotations

import pytest
from django.core.management.base import CommandError
from django.db.migrations.recorder import MigrationRecorder

from config.management.commands.up import require_current_data

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_data_of_an_older_version_is_refused_with_what_to_do() -> None:
    MigrationRecorder.Migration.objects.create(app="generations", name="0002_the_end_is_final")

    with pytest.raises(CommandError, match=r"older version of Limn.*Move it away and start again: mv "):
        require_current_data()


def test_only_data_of_an_older_version_is_refused() -> None:
    MigrationRecorder.Migration.objects.create(app="removed_app", name="0001_initial")
    require_current_data()

    MigrationRecorder.Migration.objects.create(app="credits", name="0002_entries_only_added")
    with pytest.raises(CommandError):
        require_current_data()
