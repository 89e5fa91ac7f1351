"""Checks at the end of a run, when everything has ended: Limn's rows, the simulator's log and the bucket must agree.

`run` calls every check once, after the faults have been repaired. Each check records what it finds as a violation of
a rule of docs/failure-modes.md (I10–I14, I16, I17, and some cases of the groups B and C).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.utils import timezone

from generations.models import FailureCode, Generation, Heartbeat, Output, ProviderCallback, Status, Submission
from generations.workers import storage_cleaner
from operations import invariants
from quality.chaos.counters import Counters
from quality.chaos.environment import SECRETS, Environment
from quality.chaos.fault_plan import BEFORE_ACCEPT
from quality.chaos.load_clients import LoadClient
from quality.chaos.log_check import check_log
from simulator.log import Log
from simulator.records import Request
from tests.services.seaweed import Bucket

CALLBACK_PATH = re.compile(r"/hooks/fal/(?P<submission>[0-9a-f-]{36})/")
# The scenarios, by the beginning of their name, that explain why a generation failed although fal's job did not.
EXPLAINED_FAILURES: Mapping[str, tuple[str, ...]] = {
    FailureCode.COPY_FAILED: ("cdn:", "outputs:evil_output_url"),
    FailureCode.PROVIDER_ERROR: (
        "outputs:zero",
        "outputs:fewer",
        "callback:contradictory",
        "callback:error_null_payload",
    ),
    FailureCode.RESULT_EXPIRED: ("result:410", "poll:404"),
}
FORGED_KINDS = ("forged", "wrong_account", "mismatch", "stale", "garbage")
PARALLEL_DOWNLOADS = 8


@dataclass
class Evidence:
    """What the checks compare. Everything is read once, after the run."""

    environment: Environment
    clients: list[LoadClient]
    counters: Counters

    @property
    def log(self) -> Log:
        return self.environment.simulator_log

    @cached_property
    def submissions(self) -> dict[str, Submission]:
        return {str(row.pk): row for row in Submission.objects.select_related("generation").iterator()}

    @cached_property
    def accepted(self) -> list[Request]:
        """The jobs that fal accepted, and would bill."""
        return self.log.accepted()


def run(evidence: Evidence) -> None:
    """Run every check, and count which faults took effect."""
    for check in (
        check_clients,
        check_invariants,
        check_posts,
        check_jobs,
        check_results,
        check_callbacks,
        check_bucket,
        check_file_contents,
        check_logs,
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
        for generation_id in client.versions.keys() - rows.keys():
            evidence.counters.add_violation("I10", f"{generation_id} was answered to {client.name}, and does not exist")
        for generation_id, shown in client.finished.items():
            row = rows.get(generation_id)
            if row is not None and (row.status, row.version) != (shown["status"], shown["version"]):
                detail = f"{generation_id} was shown as {shown['status']} and is {row.status}"
                evidence.counters.add_violation("I10", detail)


def check_invariants(evidence: Evidence) -> None:
    """Check I1–I8, I15, and I11: nothing is in progress any more."""
    for finding in [*invariants.always(), *invariants.at_rest()]:
        evidence.counters.add_violation(finding.rule, f"{finding.subject} {finding.detail}")


def check_posts(evidence: Evidence) -> None:
    """Check I12: each submission was POSTed at most once, whatever was answered, and is on record."""
    posts = Counter(_submission_id(post.query.get("fal_webhook")) for post in evidence.log.posts())
    for submission_id, count in posts.items():
        if count > 1:
            evidence.counters.add_violation("I12", f"submission {submission_id} was posted {count} times")
        if submission_id not in evidence.submissions:
            evidence.counters.add_violation("I12", f"submission {submission_id} was posted and is not on record")
    evidence.counters.count_event("posts", sum(posts.values()))


def check_jobs(evidence: Evidence) -> None:
    """Check I12: each job that fal accepted belongs to one submission, or to one that is recorded as unanswered."""
    counters = evidence.counters
    jobs_of: Counter[Any] = Counter()
    for request in evidence.accepted:
        submission = evidence.submissions.get(_submission_id(request.webhook_url))
        if submission is None:
            counters.add_violation("I12", f"fal has the job {request.request_id}, and no submission knows it")
            continue
        jobs_of[submission.generation_id] += 1
        about = f"{request.request_id} of submission {submission.pk}"
        if submission.request_id == request.request_id:
            counters.count_event(f"jobs {submission.state}")
        elif submission.request_id is not None:
            counters.add_violation("I12", f"fal has {about}, which names {submission.request_id}")
        elif submission.state in {Submission.State.UNKNOWN, Submission.State.MISSING}:
            # The answer to the POST was lost. The row says that a job may exist, which is all that can be known.
            counters.count_event(f"jobs never claimed ({submission.state})")
        else:
            counters.add_violation("I12", f"fal accepted {about}, whose state is {submission.state}")
    known = {row.request_id for row in evidence.submissions.values() if row.request_id}
    for request_id in known - {request.request_id for request in evidence.accepted}:
        counters.add_violation("I12", f"a submission names the job {request_id}, and fal has none")
    counters.count_event("jobs at fal", len(evidence.accepted))
    counters.count_event("generations with two jobs or more", sum(count > 1 for count in jobs_of.values()))


def check_results(evidence: Evidence) -> None:
    """Check I14: a generation is completed only if fal's job was, and fails only for a reason that was injected."""
    requests = {request.request_id: request for request in evidence.accepted}
    for submission in evidence.submissions.values():
        request = requests.get(submission.request_id or "")
        if submission.state != Submission.State.ACCEPTED or request is None:
            continue
        generation = submission.generation
        if generation.status == Status.COMPLETED and request.error is not None:
            evidence.counters.add_violation("I14", f"{generation.pk} is completed, and fal's job failed")
        # fal delivered, and the customer got nothing: only an injected fault may be the reason.
        is_delivered = request.state == "COMPLETED" and request.error is None
        if generation.status != Status.FAILED or not is_delivered:
            continue
        code = generation.failure_code
        was_cancelled = code == FailureCode.CANCELLED and generation.cancel_asked_at is not None
        explanations = EXPLAINED_FAILURES.get(code, ())
        if was_cancelled or any(word.startswith(explanations) for word in request.scenarios.split()):
            evidence.counters.count_event(f"completed by fal, and failed as {code}")
        else:
            detail = f"fal completed {request.request_id} [{request.scenarios}], and {generation.pk} failed as {code}"
            evidence.counters.add_violation("I14", detail)


def check_callbacks(evidence: Evidence) -> None:
    """Check I14: every callback that was answered 200 is stored.

    B3: no forged one was accepted. B38: none was redirected.
    """
    counters = evidence.counters
    rows = ProviderCallback.objects.values_list("submission_id", "body_sha256").iterator()
    stored = {(str(submission_id), digest) for submission_id, digest in rows}
    for callback in evidence.log.callbacks():
        counters.count_event(f"callbacks answered {callback.status or 'not'}")
        about = f"callback for {callback.request_id}"
        if callback.status == 200:
            identity = (_submission_id(callback.url), hashlib.sha256(callback.body).hexdigest())
            if identity not in stored:
                counters.add_violation("I14", f"a {about} was answered 200 and is not stored")
            if callback.kind in FORGED_KINDS:
                counters.add_violation("B3", f"a {callback.kind} {about} was answered 200")
        # fal does not retry a callback that was answered with a redirect.
        if callback.status is not None and 300 <= callback.status < 400:
            counters.add_violation("B38", f"a {about} was answered {callback.status}")


def check_bucket(evidence: Evidence) -> None:
    """Check I13: after a pass of the storage cleaner, the bucket holds exactly the stored outputs."""
    counters, bucket = evidence.counters, evidence.environment.bucket
    before = _content(bucket)
    _clean_storage()
    left = _content(bucket)
    stored = set(Output.objects.stored().values_list("key", flat=True))
    for key in stored - left.objects:
        counters.add_violation("I13", f"{key} is not in the bucket")
    # An attempt to copy that failed may leave its file. Its key begins with the place of its output.
    places = {f"generations/{row.generation_id}/{row.index}" for row in Output.objects.only("generation_id", "index")}
    unknown = {key for key in before.objects - stored if _place_of(key) not in places}
    for key in (left.objects - stored) | unknown:
        counters.add_violation("I13", f"{key} belongs to no output")
    for key in left.uploads:
        counters.add_violation("I13", f"the multipart upload of {key} is open")
    # Attempts that failed, and processes that were killed, leave them. Each attempt has a key of its own.
    counters.count_event("files deleted by the storage cleaner", len(before.objects - left.objects))
    counters.count_event("multipart uploads aborted by the storage cleaner", len(before.uploads))


def _place_of(key: str) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{name.partition('-')[0]}"


class _Content(NamedTuple):
    objects: set[str]
    uploads: list[str]
    """The keys of multipart uploads that are open."""


def _content(bucket: Bucket) -> _Content:
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    uploads = bucket.client.list_multipart_uploads(Bucket=bucket.name).get("Uploads", [])
    return _Content(
        objects={item["Key"] for page in pages for item in page.get("Contents", [])},
        uploads=[upload["Key"] for upload in uploads],
    )


def _clean_storage() -> None:
    """Pass through the storage as the cleaner does some days later, when no file is too young to be deleted."""
    Heartbeat.objects.filter(name=storage_cleaner.PASS).delete()
    cleaner = storage_cleaner.StorageCleaner(clock=lambda: timezone.now() + 3 * storage_cleaner.AGE_MIN)
    while cleaner.run_once(limit=10):
        pass


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
    scenarios = {request.request_id: request.scenarios for request in evidence.accepted}
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


def _submission_id(url: str | None) -> str:
    """Return the submission that a callback URL names."""
    found = CALLBACK_PATH.search(urlsplit(url or "").path)
    return found["submission"] if found else ""
