"""The trigger that keeps a finished generation as it is, to be renewed by each migration that changes its table.

SQLite changes a table by making a new one, and the old one takes its triggers with it.
"""

from typing import Any

from django.db import migrations

FROZEN = ("status", "phase", "credits", "captured", "released", "failure_code", "rule", "finished_at")
POSTGRESQL = f"""
DROP TRIGGER IF EXISTS generations_end_is_final ON generations_generation;
CREATE TRIGGER generations_end_is_final BEFORE UPDATE ON generations_generation
    FOR EACH ROW WHEN (OLD.phase = 'done' AND ({" OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in FROZEN)}))
    EXECUTE FUNCTION generations_end_is_final()
"""
SQLITE = (
    "DROP TRIGGER IF EXISTS generations_end_is_final",
    f"""CREATE TRIGGER generations_end_is_final BEFORE UPDATE ON generations_generation
    WHEN OLD.phase = 'done' AND ({" OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in FROZEN)})
    BEGIN SELECT RAISE(ABORT, 'A finished generation never changes.'); END""",
)


def _renew(apps: Any, schema_editor: Any) -> None:
    for statement in (POSTGRESQL,) if schema_editor.connection.vendor == "postgresql" else SQLITE:
        schema_editor.execute(statement)


def renewed() -> migrations.RunPython:
    """The last operation of a migration that touches the generations' table."""
    return migrations.RunPython(_renew, migrations.RunPython.noop)
