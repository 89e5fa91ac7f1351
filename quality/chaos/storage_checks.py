"""Final checks of the bucket: it holds what the rows say, byte for byte, and nothing of an erased generation (I13)."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.db.models.functions import Now

from generations.models import Erasure, Heartbeat, Output, Submission, WriteAttempt
from generations.workers import storage_cleaner
from quality.chaos.environment import NEIGHBOUR_PREFIX
from quality.chaos.evidence import Evidence
from tests.services.seaweed import Bucket

PARALLEL_DOWNLOADS = 8
# The mark by which the processes recognise the storage as theirs.
MARK = "limn-deployment.json"


class Content(NamedTuple):
    objects: set[str]
    uploads: list[str]
    """The keys of multipart uploads that are open."""


def check_erased_files(evidence: Evidence) -> None:
    """Check I13: nothing of an erased generation is in the bucket, before any cleaner has passed.

    What the bucket held at a restore is not counted: rows that would name it may be lost.
    """
    receipts = Erasure.objects.exclude(done_at=None).values_list("generation_id", flat=True)
    erased = {str(generation_id) for generation_id in receipts}
    foreign = {*evidence.strangers.files, *evidence.losses.files_at_restore}
    for key in content_of(evidence.environment.bucket).objects - foreign:
        if any(part in erased for part in key.split("/")):
            evidence.counters.add_violation("I13", f"{key} belongs to an erased generation")
    evidence.counters.count_event("generations erased", len(erased))


def check_bucket(evidence: Evidence) -> None:
    """Check I13: after a pass of the storage cleaner, the bucket holds exactly the stored outputs and what is not ours.

    The objects of others, and those whose rows a restore has lost, are compared by `foreign_checks`.
    """
    counters, bucket = evidence.counters, evidence.environment.bucket
    before = content_of(bucket)
    _clean_storage()
    left = content_of(bucket)
    stored = set(Output.objects.stored().values_list("key", flat=True))
    # What was in the bucket at a restore may be an unneeded copy of which no row tells any more.
    foreign = {MARK, *evidence.strangers.files, *evidence.losses.files_at_restore}
    foreign |= {key for key in before.objects if key.startswith(NEIGHBOUR_PREFIX)}
    for key in stored - left.objects - evidence.losses.deleted_files:
        counters.add_violation("I13", f"{key} is not in the bucket")
    # An attempt to copy that failed may leave its file. Its key begins with the place of its output.
    places = {f"generations/{row.generation_id}/{row.index}" for row in Output.objects.only("generation_id", "index")}
    unknown = {key for key in before.objects - stored - foreign if _place_of(key) not in places}
    for key in (left.objects - stored - foreign) | unknown:
        counters.add_violation("I13", f"{key} belongs to no output")
    # The second deployment cleans up its own.
    uploads = {key for key in left.uploads if not key.startswith(NEIGHBOUR_PREFIX)}
    for key in uploads - evidence.strangers.uploads:
        counters.add_violation("I13", f"the multipart upload of {key} is open")
    # Attempts that failed, and processes that were killed, leave them. Each attempt has a key of its own.
    counters.count_event("files deleted by the storage cleaner", len(before.objects - left.objects))
    counters.count_event("multipart uploads aborted by the storage cleaner", len(before.uploads) - len(left.uploads))


def check_file_contents(evidence: Evidence) -> None:
    """Check I13: each stored file has the size and SHA-256 of its row, and is one that fal made for this generation."""
    counters, bucket = evidence.counters, evidence.environment.bucket
    s3 = bucket.client
    made: dict[str | None, set[str]] = defaultdict(set)
    for file in evidence.log.files():
        made[file.request_id].add(file.sha256)
    accepted = [row for row in evidence.submissions.values() if row.state == Submission.State.ACCEPTED]
    request_ids = {row.generation_id: row.request_id for row in accepted}

    def measure(output: Output) -> tuple[int, str] | None:
        try:
            content = s3.get_object(Bucket=bucket.name, Key=output.key)["Body"].read()
        except s3.exceptions.NoSuchKey:
            # check_bucket reports it.
            return None
        return len(content), hashlib.sha256(content).hexdigest()

    outputs = list(Output.objects.stored())
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        for output, measured in zip(outputs, pool.map(measure, outputs), strict=True):
            if measured is not None and measured != (output.size_bytes, output.sha256):
                counters.add_violation("I13", f"the content of {output.key} differs from its row")
            if output.sha256 not in made[request_ids.get(output.generation_id)]:
                counters.add_violation("I13", f"{output.key} is no file that fal made for its generation")
    counters.count_event("files compared byte for byte", len(outputs))


def content_of(bucket: Bucket) -> Content:
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    uploads = bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])
    return Content(
        objects={item["Key"] for page in pages for item in page.get("Contents", [])},
        uploads=[upload["Key"] for upload in uploads],
    )


def _place_of(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.partition('-')[0]}"


def _clean_storage() -> None:
    """Clean up as the cleaner does when the pauses of all attempts are over, and pass through the storage."""
    WriteAttempt.objects.update(next_cleanup_at=Now())
    Heartbeat.objects.filter(name=storage_cleaner.PASS).delete()
    while storage_cleaner.run_once(limit=10):
        pass
