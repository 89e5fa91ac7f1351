"""The kinds of fault: what a chaos run can do to Limn, and how often.

`fault_plan.draw` selects from these tables by the seed. To add an environment fault, add its name here and its
function in the module of its group: `process_faults`, `database_faults`, `service_faults` or `outage_faults`.
"""

from __future__ import annotations

from collections.abc import Mapping

# Scenarios of the simulator that strike before fal accepts a job, by the beginning of their name.
BEFORE_ACCEPT = ("status", "drop_before", "reset", "redirect")
# Scenarios that an order's prompt requests from the simulator, and the highest percentage of orders that request each.
ORDER_FAULTS: dict[str, float] = {
    "drop_before_acceptx1": 2,
    "drop_after_acceptx1": 4,
    "drop_after_accept": 1,
    "hang_after_acceptx1": 1,
    "resetx1": 2,
    "garbage200:jsonx1": 1,
    "garbage200:htmlx1": 1,
    "garbage200:no_request_id": 1,
    "garbage200:wrong_host": 1,
    "garbage200:other_request": 1,
    "garbage200:same_request_id": 1,
    "redirectx1": 1,
    "status:422": 2,
    "status:404": 1,
    "status:408x1": 1,
    "status:409x1": 1,
    "status:425x1": 1,
    "status:429-retry-afterx1": 2,
    "status:429x2": 2,
    "status:500x1": 2,
    "status:500-barex1": 2,
    "status:502x1": 2,
    "status:503-nginxx1": 2,
    "status:504x1": 2,
    "callback:lost": 8,
    "callback:late": 4,
    "callback:double": 6,
    "callback:again_late": 8,
    "callback:early": 5,
    "callback:forged": 3,
    "callback:wrong_account": 3,
    "callback:mismatch": 2,
    "callback:stale": 2,
    "callback:null_payload": 5,
    "callback:error_null_payload": 2,
    "callback:reordered": 5,
    "callback:contradictory": 5,
    "callback:garbage": 2,
    "fail:generation_timeout": 2,
    "fail:content_policy_violation": 2,
    "fail:runner_disconnected": 2,
    "result:completed_with_error": 1,
    "result:504": 2,
    "result:410": 1,
    "poll:404x2": 2,
    "poll:500x2": 2,
    "poll:unknownx2": 1,
    "poll:back_to_queue": 1,
    "outputs:fewer": 2,
    "outputs:more": 2,
    "outputs:zero": 1,
    "outputs:data_uri": 2,
    "outputs:nested": 2,
    "outputs:evil_output_url": 1,
    "outputs:large": 1,
    "outputs:no_size": 3,
    "cdn:404x1": 2,
    "cdn:404": 1,
    "cdn:429x1": 2,
    "cdn:503x2": 3,
    "cdn:truncatedx1": 3,
    "cdn:cut_nolenx1": 3,
    "cdn:nolenx1": 2,
    "cdn:cut_untoldx1": 2,
    "cdn:untoldx1": 1,
    "cdn:htmlx1": 2,
    "cdn:html@1": 1,
    "cdn:bombx1": 1,
    "cdn:huge": 0.5,
    "cdn:dripx1": 0.3,
    "cdn:redirect": 1,
    "cdn:wrong_type": 2,
    "cancel:completes_anyway": 3,
    "cancel:404": 1,
    "slow:8": 5,
}
# A drip lasts as long as one download may, and on a busy machine a web server needs seconds to restart. A run of a
# minute has no time for them.
TOO_SLOW_FOR_A_SHORT_RUN = frozenset(
    {
        "kill -9 web",
        "SIGTERM web",
        "rolling restart",
        "clock of the web server",
        "restore from a dump",
        "outage of 20 minutes",
        "outage of 3 hours",
        "outage of 30 hours",
        "S3 slow",
        "outputs:large",
        "cdn:dripx1",
        "cdn:404",
        "cdn:html@1",
        "cdn:huge",
        "hang_after_acceptx1",
    }
)

# The connection is closed in the middle of a file.
CUT_FILES = ("cdn:cut_nolenx1", "cdn:truncatedx1")
# Otherwise the size that fal states would show that a file was cut.
UNSIZED = "outputs:no_size"
IDENTICAL_JOB = "stranger's identical job"
# What load clients do besides ordering and polling, in percent of their orders.
CLIENT_BEHAVIOURS: dict[str, float] = {
    "repeat": 15,
    "key reuse": 2,
    "concurrent repeat": 5,
    "no idempotency key": 5,
    "cancel": 6,
    "retry": 3,
    "double retry": 2,
    "erase": 4,
    "batch": 0.5,
    "identical prompt": 3,
    "two identical orders": 2,
    IDENTICAL_JOB: 2,
    "edit": 5,
    "speech": 4,
    "music": 2,
    "3D model": 2,
}
# A short run places some hundred orders at most, so what is rare occurs more often there.
SHORT_RUN_BEHAVIOURS: Mapping[str, float] = {"batch": 2, "erase": 10, "double retry": 5}

# What the fault injector does, one after the other.
ENVIRONMENT_FAULTS = (
    "kill -9 worker",
    "kill -9 web",
    "kill -9 web child",
    "SIGTERM worker",
    "SIGTERM web",
    "SIGSTOP worker",
    "SIGSTOP web",
    "rolling restart",
    "clock of a worker",
    "clock of the web server",
    "disk of a worker full",
    "PostgreSQL crash",
    "PostgreSQL terminates backends",
    "PostgreSQL locked rows",
    "PostgreSQL locked account",
    "PostgreSQL connection limit",
    "PostgreSQL read-only",
    "PostgreSQL blackhole",
    "PostgreSQL delay",
    "PostgreSQL slow",
    "PostgreSQL reset",
    "S3 reset",
    "S3 blackhole",
    "S3 503",
    "S3 403",
    "S3 full",
    "S3 cut",
    "S3 delay",
    "S3 slow",
    "fal reset",
    "fal blackhole",
    "fal cut",
    "fal delay",
    "fal locks the account",
    "fal cuts files",
    "JWKS down",
    "JWKS garbage",
    "JWKS rotated",
    "JWKS rotated, old key removed",
    "adjusted by staff",
    "stranger's files",
    "outage of 20 minutes",
    "outage of 3 hours",
    "outage of 30 hours",
    "restore from a dump",
)

# Failpoints of the product, the action there, and the percentage of passages that it strikes. No failpoint lies inside
# a transaction with a sleep: `PostgreSQL locked rows` covers that.
FAILPOINTS: dict[str, float] = {
    "created exit": 0.3,
    "noted exit": 0.5,
    "noted sleep": 0.5,
    "posted exit": 0.8,
    "posted sleep": 0.5,
    "kept exit": 0.5,
    "adopted exit": 0.3,
    "asked exit": 0.5,
    "asked sleep": 0.5,
    "answered exit": 0.3,
    "copied exit": 0.5,
    "copied sleep": 0.8,
    "completed exit": 0.3,
    # Few orders fail, so each failure is struck more often.
    "failed exit": 2.5,
}

# How the installation is built. Half of the seeds have each of them.
PGBOUNCER = "PgBouncer in transaction mode"
NEIGHBOUR = "second deployment"
# Kinds that need a program that is not installed everywhere.
CLOCK_FAULTS = frozenset({"clock of a worker", "clock of the web server"})
