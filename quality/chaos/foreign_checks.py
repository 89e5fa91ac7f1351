"""Final checks of what is not Limn's: files and jobs of strangers, and a second deployment (I13, J19)."""

from __future__ import annotations

import hashlib
import subprocess

from quality.chaos import losses
from quality.chaos.environment import NEIGHBOUR_PREFIX
from quality.chaos.evidence import Evidence
from quality.chaos.storage_checks import content_of


def check_foreign_files(evidence: Evidence) -> None:
    """Check I13: the files of strangers, and those whose rows a restore has lost, are as they were."""
    bucket, strangers = evidence.environment.bucket, evidence.strangers
    content = content_of(bucket)
    for key, digest in strangers.files.items():
        if key not in content.objects:
            evidence.counters.add_violation("I13", f"{key} of a stranger has been deleted")
        elif hashlib.sha256(bucket.read(key)).hexdigest() != digest:
            evidence.counters.add_violation("I13", f"{key} of a stranger has been changed")
    for key in strangers.uploads - set(content.uploads):
        evidence.counters.add_violation("I13", f"the multipart upload {key} of a stranger has been aborted")
    for key in evidence.losses.orphaned_files - content.objects:
        evidence.counters.add_violation("I13", f"{key}, whose row a restore has lost, has been deleted")
    evidence.counters.count_event("files of strangers", len(strangers.files))
    evidence.counters.count_event("files whose rows a restore has lost", len(evidence.losses.orphaned_files))


def check_foreign_jobs(evidence: Evidence) -> None:
    """Check I12: no job of a stranger was taken for one of Limn's, or was cancelled."""
    claimed = {row.request_id for row in evidence.submissions.values() if row.request_id}
    for request in evidence.log.accepted():
        if evidence.is_ours(request.webhook_url):
            continue
        if request.request_id in claimed:
            evidence.counters.add_violation(
                "I12", f"the job {request.request_id} is not ours, and a submission names it"
            )
        if request.request_id in evidence.strangers.request_ids and request.cancelled:
            evidence.counters.add_violation("I12", f"the job {request.request_id} of a stranger was cancelled")


def check_neighbour(evidence: Evidence) -> None:
    """Check J19: the second deployment keeps its invariants, its files and its answers."""
    neighbour, counters = evidence.environment.neighbour, evidence.counters
    if neighbour is None:
        return
    try:
        neighbour.run_command("check_invariants", "--quiet-time")
    except subprocess.CalledProcessError as error:
        counters.add_violation("J19", f"the second deployment: {error.stdout.strip()[:500]}")
    content = losses.read(evidence.environment.postgres.url_of(neighbour.database))
    stored = {f"{NEIGHBOUR_PREFIX}{key}" for key in content.outputs.values()}
    for key in stored - content_of(evidence.environment.bucket).objects:
        counters.add_violation("J19", f"{key} of the second deployment is not in the bucket")
    for client in evidence.neighbour_clients:
        for generation_id in client.known.versions.keys() - content.versions.keys():
            counters.add_violation("J19", f"{generation_id} of the second deployment does not exist")
    counters.count_event("generations of the second deployment", len(content.versions))
