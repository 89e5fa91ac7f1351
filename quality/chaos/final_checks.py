"""Checks at the end of a run, when everything has ended: Limn's rows, the simulator's log and the bucket must agree.

`run` calls every check once, after the faults have been repaired. Each check records what it finds as a violation of
a rule of docs/failure-modes.md (I10–I14, I16, I17, and some cases of the groups B and C).
"""

from __future__ import annotations

import re
from collections import Counter

from generations.models import Generation
from operations import invariants
from quality.chaos.environment import SECRETS
from quality.chaos.evidence import Evidence
from quality.chaos.fal_checks import (
    check_callbacks,
    check_contradictions,
    check_failures,
    check_jobs,
    check_posts,
    check_results,
)
from quality.chaos.fault_kinds import BEFORE_ACCEPT
from quality.chaos.foreign_checks import check_foreign_files, check_foreign_jobs, check_neighbour
from quality.chaos.log_check import check_log
from quality.chaos.storage_checks import check_bucket, check_erased_files, check_file_contents


def run(evidence: Evidence) -> None:
    """Run every check, and count which faults took effect."""
    for check in (
        check_clients,
        check_answers,
        check_invariants,
        check_posts,
        check_jobs,
        check_results,
        check_failures,
        check_callbacks,
        check_contradictions,
        check_erased_files,
        check_bucket,
        check_file_contents,
        check_foreign_files,
        check_foreign_jobs,
        check_neighbour,
        check_logs,
        check_deadlocks,
    ):
        check(evidence)
    count_scenarios(evidence)
    # A process prints a line when a failpoint strikes, since it may not live to do anything else.
    for process in evidence.environment.limn_processes:
        for line in re.findall(r"^failpoint \w+ \w+$", process.output, re.MULTILINE):
            evidence.counters.count_fault(line)


def check_clients(evidence: Evidence) -> None:
    """Check I10: the database agrees with every final state that a client was shown, and no generation is missing."""
    rows = {str(row.pk): row for row in Generation.objects.iterator()}
    for client in evidence.clients:
        for generation_id in client.known.versions.keys() - rows.keys():
            evidence.counters.add_violation("I10", f"{generation_id} was answered to {client.name}, and does not exist")
        for generation_id, shown in client.known.finished.items():
            row = rows.get(generation_id)
            if row is not None and (row.status, row.version) != (shown["status"], shown["version"]):
                detail = f"{generation_id} was shown as {shown['status']} and is {row.status}"
                evidence.counters.add_violation("I10", detail)


def check_answers(evidence: Evidence) -> None:
    """Check A7: each generation was answered with 202 or 200, unless the connection of its order broke."""
    unanswered: Counter[int] = Counter()
    answered = {generation_id for client in evidence.clients for generation_id in client.known.versions}
    for generation_id, account_id in Generation.objects.values_list("pk", "account_id"):
        if str(generation_id) not in answered:
            unanswered[account_id] += 1
    broken: Counter[int] = Counter()
    for client in evidence.clients:
        broken[client.account_id] += client.orders_without_answer
    for account_id, count in (unanswered - broken).items():
        detail = f"{count} generations of account {account_id} exist, and their orders were answered with an error"
        evidence.counters.add_violation("A7", detail)
    evidence.counters.count_event("generations whose order was never answered", unanswered.total())


def check_deadlocks(evidence: Evidence) -> None:
    """Check I16: no two transactions have locked the same rows in different orders."""
    deadlocks = evidence.environment.postgres.deadlocks
    if deadlocks:
        evidence.counters.add_violation("I16", f"PostgreSQL resolved {deadlocks} deadlocks")


def check_invariants(evidence: Evidence) -> None:
    """Check I1–I8, I15, and I11: nothing is in progress any more."""
    for finding in [*invariants.always(), *invariants.at_rest()]:
        evidence.counters.add_violation(finding.rule, f"{finding.subject} {finding.detail}")


def check_logs(evidence: Evidence) -> None:
    """Check I16, I17: no unexpected exception and no secret is logged. C14: no forbidden address was called."""
    for visit in evidence.log.visits():
        evidence.counters.add_violation("C14", f"the canary was called: {visit.method} {visit.path}")
    secrets = {
        "SECRET_KEY": [SECRETS["SECRET_KEY"]],
        "FAL_KEY": [evidence.environment.variables["FAL_KEY"]],
        "AWS_SECRET_ACCESS_KEY": [evidence.environment.bucket.secret_key],
        "a callback's token": [row.token for row in evidence.submissions.values()],
    }
    for process in evidence.environment.limn_processes:
        check_log(process.name, process.output, secrets, evidence.counters)


def count_scenarios(evidence: Evidence) -> None:
    """Count the scenarios that the simulator really played; a prompt may request one that it never reaches."""
    counters = evidence.counters
    for post in evidence.log.posts():
        if post.outcome != "accepted":
            counters.count_fault(_first(post.scenarios, BEFORE_ACCEPT))
    # Those of the second deployment took effect too.
    scenarios = {request.request_id: request.scenarios for request in evidence.log.accepted()}
    for requested in scenarios.values():
        for word in requested.split():
            if not word.startswith((*BEFORE_ACCEPT, "cdn")):
                counters.count_fault(word)
    # Faults of the CDN take effect when a file is downloaded.
    for served in evidence.log.served():
        if served.fault:
            counters.count_fault(_first(scenarios[str(served.request_id)], (f"cdn:{served.fault}",)))


def _first(scenarios: str, prefixes: tuple[str, ...]) -> str:
    return next((word for word in scenarios.split() if word.startswith(prefixes)), "refused without a scenario")
