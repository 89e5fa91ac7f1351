"""The harness itself: the database is real, is the one asked for, and comes back empty."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from tests import plugin

_GUARD = {
    "sqlite": [
        "CREATE TRIGGER guard BEFORE DELETE ON auth_group BEGIN SELECT RAISE(ABORT, 'never'); END",
    ],
    "postgresql": [
        "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE integrity_constraint_violation; END $$",
        "CREATE TRIGGER guard BEFORE DELETE ON auth_group FOR EACH ROW EXECUTE FUNCTION never()",
        "CREATE TRIGGER guard_all BEFORE TRUNCATE ON auth_group EXECUTE FUNCTION never()",
    ],
}
_UNGUARD = {
    "sqlite": ["DROP TRIGGER guard"],
    "postgresql": ["DROP TRIGGER guard ON auth_group", "DROP TRIGGER guard_all ON auth_group", "DROP FUNCTION never()"],
}


def _run(statements: dict[str, list[str]]) -> None:
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for() -> None:
    assert connection.vendor == plugin.DATABASE
    assert connection.settings_dict["NAME"] != settings.DATA_DIR / "limn.sqlite3"


@pytest.mark.django_db(transaction=True)
def test_tables_are_emptied_past_their_triggers() -> None:
    _run(_GUARD)
    Group.objects.create(name="painters")

    call_command("flush", interactive=False, verbosity=0)

    assert not Group.objects.exists()
    Group.objects.create(name="sculptors")
    with pytest.raises(IntegrityError), transaction.atomic():
        Group.objects.all().delete()
    _run(_UNGUARD)


def test_data_goes_to_a_folder_of_the_tests() -> None:
    assert "limn-tests-" in str(settings.DATA_DIR)
    assert Path(settings.MEDIA_ROOT).is_relative_to(settings.DATA_DIR)
