"""Tests of the test environment: its database has the chosen vendor and is emptied, and its folders are temporary."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from tests import plugin

_CREATE_TRIGGERS = {
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
_DROP_TRIGGERS = {
    "sqlite": ["DROP TRIGGER guard"],
    "postgresql": ["DROP TRIGGER guard ON auth_group", "DROP TRIGGER guard_all ON auth_group", "DROP FUNCTION never()"],
}


def _run(statements: dict[str, list[str]]) -> None:
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)


@pytest.mark.django_db
def test_the_database_has_the_vendor_that_test_database_names() -> None:
    assert connection.vendor == plugin.DATABASE
    assert connection.settings_dict["NAME"] != settings.DATA_DIR / "limn.sqlite3"


@pytest.mark.django_db(transaction=True)
def test_a_flush_empties_tables_despite_their_triggers_and_keeps_the_triggers() -> None:
    _run(_CREATE_TRIGGERS)
    Group.objects.create(name="painters")

    call_command("flush", interactive=False, verbosity=0)

    assert not Group.objects.exists()
    Group.objects.create(name="sculptors")
    with pytest.raises(IntegrityError), transaction.atomic():
        Group.objects.all().delete()
    _run(_DROP_TRIGGERS)


def test_data_and_media_go_to_a_temporary_folder() -> None:
    assert "limn-tests-" in str(settings.DATA_DIR)
    assert Path(settings.MEDIA_ROOT).is_relative_to(settings.DATA_DIR)
