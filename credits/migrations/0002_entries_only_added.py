"""Entries are only ever added, whoever asks: the database refuses UPDATE, DELETE and, where it exists, TRUNCATE."""

from typing import Any

from django.db import migrations

POSTGRESQL = """
CREATE FUNCTION credits_entry_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'An entry of the ledger is never changed or deleted; post another one.'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER credits_entry_is_final BEFORE UPDATE OR DELETE ON credits_entry
    FOR EACH ROW EXECUTE FUNCTION credits_entry_is_final();
CREATE TRIGGER credits_entry_no_truncate BEFORE TRUNCATE ON credits_entry
    EXECUTE FUNCTION credits_entry_is_final();
"""
POSTGRESQL_BACK = """
DROP TRIGGER credits_entry_no_truncate ON credits_entry;
DROP TRIGGER credits_entry_is_final ON credits_entry;
DROP FUNCTION credits_entry_is_final();
"""
SQLITE = [
    f"""CREATE TRIGGER credits_entry_no_{verb.lower()} BEFORE {verb} ON credits_entry
        BEGIN SELECT RAISE(ABORT, 'An entry of the ledger is never changed or deleted; post another one.'); END"""
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = ["DROP TRIGGER credits_entry_no_update", "DROP TRIGGER credits_entry_no_delete"]


def forwards(apps: Any, schema_editor: Any) -> None:
    for statement in [POSTGRESQL] if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def backwards(apps: Any, schema_editor: Any) -> None:
    for statement in [POSTGRESQL_BACK] if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("credits", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
