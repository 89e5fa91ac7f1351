"""Fills a database with many generations: real ones, and copies of all their rows.

The product makes the first thousand, from the order to the settled price. A million that way would take hours, so the
others are copies of these: every row that belongs to a generation, with ids, times and sums as if the same jobs had
been ordered again and again before. `manage.py check_invariants` and `audit_ledger` find nothing wrong with them.
"""

from __future__ import annotations

import psycopg

from quality.benchmarks import http_load
from quality.benchmarks.environment import Environment
from quality.benchmarks.installation import Limn

CLIENTS = 8
# Of the first thousand: one user orders half, every twentieth job fails, every tenth carries metadata.
HEAVY_USER_SHARE, FAILURE_SHARE, METADATA_SHARE = 2, 20, 10
COPIES_AT_ONCE = 50
PERIOD_MILLISECONDS = 30 * 24 * 3600 * 1000
# In the order of their foreign keys.
TABLES = (
    "generations_generation",
    "generations_submission",
    "generations_providercallback",
    "generations_output",
    "generations_event",
    "credits_hold",
    "credits_entry",
)
# Grants and refunds of an account do not belong to a job; they stay as they are.
CONDITIONS = {"credits_entry": "WHERE hold_id IS NOT NULL"}
# How a column of a copy is made, by its type, and by its name where that is not enough. {c} is the column, copy.ms the
# milliseconds by which the copy is older, copy.number its number, from 1.
BY_TYPE = {
    "uuid": "bench_older({c}, copy.ms)",
    "timestamp with time zone": "{c} - copy.ms * interval '1 ms'",
}
BY_NAME = {
    "lease": "{c}",
    "request_id": "{c} || '-' || copy.number",
    "key": "replace({c}, {t}.generation_id::text, bench_older({t}.generation_id, copy.ms)::text)",
    "reference": "'generation:' || bench_older(substring({c} from 12)::uuid, copy.ms)",
}
# A column of the same name in another table.
BY_TABLE_AND_NAME = {("credits_entry", "key"): "{c} || '-' || copy.number"}
FUNCTION = """
CREATE OR REPLACE FUNCTION bench_older(id uuid, ms bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint - ms), 12, '0')
        || right(replace(id::text, '-', ''), 20))::uuid
$$
"""
# What the first jobs have changed for each account.
CHANGES = """
CREATE TEMP TABLE change AS
SELECT account_id, sum(balance_change) AS balance, sum(balance_change - held_change) AS available
FROM first_credits_entry GROUP BY account_id
"""
CHARGE = """
UPDATE credits_account SET balance = credits_account.balance + %s * change.balance
FROM change WHERE change.account_id = credits_account.id
"""
# As the migrations that added these tables fill them.
SPENT = "sum(CASE WHEN phase = 'done' THEN captured ELSE credits END) FROM generations_generation"
SPENDING = (
    "TRUNCATE generations_dailyspending, generations_keyspending",
    "INSERT INTO generations_dailyspending (account_id, day, credits) "
    f"SELECT account_id, (created_at AT TIME ZONE 'UTC')::date, {SPENT} GROUP BY 1, 2",
    "INSERT INTO generations_keyspending (api_key_id, credits) "
    f"SELECT api_key_id, {SPENT} WHERE api_key_id IS NOT NULL GROUP BY 1",
)
METADATA = (
    "TRUNCATE generations_metadataentry",
    "INSERT INTO generations_metadataentry (generation_id, account_id, key, value) "
    "SELECT generation.id, account_id, entry.key, entry.value FROM generations_generation generation, "
    "jsonb_each_text(metadata) entry WHERE metadata <> '{}' ORDER BY generation.id",
)
DERIVED = {"generations_dailyspending": SPENDING, "generations_metadataentry": METADATA}
COLUMNS = """
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position
"""


def fill(environment: Environment, limn: Limn, first: int, total: int) -> None:
    """Fill a new database with `total` generations, of which the product makes the first ones. A worker must run."""
    environment.fal.behave(file_bytes=50_000)
    order(limn, first)
    with psycopg.connect(limn.database_url) as connection:
        multiply(connection, total // first - 1)
    with psycopg.connect(limn.database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def order(limn: Limn, count: int) -> None:
    """Order images of different users and outcomes, and wait until all have ended."""
    orders = [
        limn.order(
            0 if number % HEAVY_USER_SHARE else number,
            fails=number % FAILURE_SHARE == 1,
            metadata={"campaign": f"c{number % 7}"} if number % METADATA_SHARE == 1 else {},
        )
        for number in range(count)
    ]
    load = http_load.closed_loop(limn.port, orders, connections=CLIENTS, expected=(202,))
    if load.statuses[503]:
        raise http_load.LoadError(f"{load.statuses[503]} orders were answered with 503")
    limn.wait_for_ended(count)


def multiply(connection: psycopg.Connection, copies: int) -> None:
    """Add this many copies of every generation."""
    connection.execute(FUNCTION)
    # No foreign keys and no triggers: the copies refer to each other as the originals do.
    connection.execute("SET session_replication_role = replica")
    for table in TABLES:
        connection.execute(f"CREATE TEMP TABLE first_{table} AS SELECT * FROM {table} {CONDITIONS.get(table, '')}")  # noqa: S608
    connection.execute(CHANGES)
    # The newest copy ends before the first original begins, the next newest before that one, and so on. All are spread
    # over a month, so that the larger database has the same jobs of the last hour, and a longer past.
    age = "SELECT 1000 + 1000 * ceil(extract(epoch FROM max(created_at) - min(created_at)))::bigint FROM {}"
    least = _number(connection, age.format("generations_generation"))
    span = max(least, PERIOD_MILLISECONDS // max(copies, 1))
    strides = {table: _number(connection, f"SELECT coalesce(max(id), 0) FROM {table}") for table in _numbered()}  # noqa: S608
    strides["number"] = _number(connection, "SELECT coalesce(max(number), 0) FROM generations_event")
    statements = {table: _statement(connection, table, strides) for table in TABLES}
    connection.execute(CHARGE, [copies])
    for start in range(1, copies + 1, COPIES_AT_ONCE):
        bounds = {"from": start, "to": min(start + COPIES_AT_ONCE - 1, copies), "span": span, "copies": copies}
        for statement in statements.values():
            connection.execute(statement, bounds)
        connection.commit()
    for table in _numbered():
        sequence = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"  # noqa: S608
        connection.execute(sequence)
    # Older commits do not have these tables.
    for table, statements_of_table in DERIVED.items():
        if _number(connection, f"SELECT count(to_regclass('{table}'))"):
            for statement in statements_of_table:
                connection.execute(statement)


def _numbered() -> tuple[str, ...]:
    """Return the tables whose ids are numbers."""
    return ("generations_providercallback", "generations_event", "credits_hold", "credits_entry")


def _statement(connection: psycopg.Connection, table: str, strides: dict[str, int]) -> str:
    columns = connection.execute(COLUMNS, [table]).fetchall()
    expressions = [_expression(table, name, kind, strides) for name, kind in columns]
    names = ", ".join(f'"{name}"' for name, _ in columns)
    return f"""
        INSERT INTO {table} ({names}) SELECT {", ".join(expressions)}
        FROM (
            SELECT number, (%(copies)s - number + 1) * %(span)s::bigint AS ms
            FROM generate_series(%(from)s::bigint, %(to)s::bigint) number
        ) copy, first_{table} ORDER BY copy.number, first_{table}.id
    """  # noqa: S608  (names of this module only)


def _expression(table: str, name: str, kind: str, strides: dict[str, int]) -> str:
    column = f'first_{table}."{name}"'
    if name == "id" and table in strides:
        return f"{column} + copy.number * {strides[table]}"
    if name == "hold_id":
        return f"{column} + copy.number * {strides['credits_hold']}"
    if name == "number" and table == "generations_event":
        return f"{column} + copy.number * {strides['number']}"
    if name == "available_after":
        change = f"SELECT available FROM change WHERE change.account_id = first_{table}.account_id"  # noqa: S608
        return f"{column} + copy.number * ({change})"
    template = BY_TABLE_AND_NAME.get((table, name)) or BY_NAME.get(name) or BY_TYPE.get(kind, "{c}")
    return template.format(c=column, t=f"first_{table}")


def _number(connection: psycopg.Connection, statement: str) -> int:
    row = connection.execute(statement).fetchone()
    return int(row[0]) if row else 0
