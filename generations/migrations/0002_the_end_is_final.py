"""A generation that is done stays as it is, whoever asks: the database refuses to move it or its money."""

from typing import Any

from django.db import migrations

FROZEN = ("status", "phase", "credits", "captured", "released", "failure_code", "finished_at")
CHANGED_POSTGRESQL = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FROZEN)
CHANGED_SQLITE = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FROZEN)

POSTGRESQL = f"""
CREATE FUNCTION generations_end_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'A finished generation never changes.' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER generations_end_is_final BEFORE UPDATE ON generations_generation
    FOR EACH ROW WHEN (OLD.phase = 'done' AND ({CHANGED_POSTGRESQL})) EXECUTE FUNCTION generations_end_is_final();
"""
POSTGRESQL_BACK = """
DROP TRIGGER generations_end_is_final ON generations_generation;
DROP FUNCTION generations_end_is_final();
"""
SQLITE = f"""
CREATE TRIGGER generations_end_is_final BEFORE UPDATE ON generations_generation
    WHEN OLD.phase = 'done' AND ({CHANGED_SQLITE})
    BEGIN SELECT RAISE(ABORT, 'A finished generation never changes.'); END
"""
SQLITE_BACK = "DROP TRIGGER generations_end_is_final"


def forwards(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(POSTGRESQL if schema_editor.connection.vendor == "postgresql" else SQLITE)


def backwards(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(POSTGRESQL_BACK if schema_editor.connection.vendor == "postgresql" else SQLITE_BACK)


class Migration(migrations.Migration):
    dependencies = [("generations", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
