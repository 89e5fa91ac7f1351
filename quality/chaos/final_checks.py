"""The verdict: our rows against fal's own log and the bucket's listing, when all is quiet (I11–I14, I16, I17)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from generations import invariants
from generations.models import Delivery, FailureCode, Generation, Output, Status, Submission
from quality.chaos import log_check
from quality.chaos.counters import Tally
from quality.chaos.environment import SECRETS, Town
from quality.chaos.fault_plan import BEFORE_ACCEPT
from simulator.log import Log
from simulator.records import Request

CALLBACK = re.compile(r"/hooks/fal/(?P<submission>[0-9a-f-]{36})/")
# Why a generation may fail although fal's job did not.
EXCUSES: Mapping[str, tuple[str, ...]] = {
    FailureCode.COPY_FAILED: ("cdn:", "outputs:evil_output_url"),
    FailureCode.PROVIDER_ERROR: (
        "outputs:zero",
        "outputs:fewer",
        "callback:contradictory",
        "callback:error_null_payload",
    ),
    FailureCode.RESULT_EXPIRED: ("result:410", "poll:404"),
}
READERS = 8


class Verdict:
    def __init__(self, town: Town, tally: Tally) -> None:
        self._town = town
        self._tally = tally
        self._log: Log = town.log
        self._s3 = town.bucket.client
        self._submissions = {str(row.pk): row for row in Submission.objects.select_related("generation").iterator()}
        self._accepted = self._log.accepted()

    def pronounce(self) -> None:
        self._rows_are_right()
        self._fal_was_asked_once_per_attempt()
        self._every_job_is_on_record()
        self._every_verdict_is_reflected()
        self._callbacks_are_kept()
        self._the_bucket_is_what_we_say()
        self._nobody_was_careless()

    def _rows_are_right(self) -> None:
        for finding in [*invariants.always(), *invariants.at_rest()]:
            self._tally.violated(finding.rule, f"{finding.subject} {finding.detail}")

    def _fal_was_asked_once_per_attempt(self) -> None:
        """I12: one row, one POST, whatever came of it."""
        posts = Counter(_submission_in(post.query.get("fal_webhook")) for post in self._log.posts())
        for submission, count in posts.items():
            if count > 1:
                self._tally.violated("I12", f"attempt {submission} was posted {count} times")
            if submission not in self._submissions:
                self._tally.violated("I12", f"attempt {submission} was posted and is not on record")
        self._tally.count("posts", sum(posts.values()))

    def _every_job_is_on_record(self) -> None:
        """I12: each job that fal took is one attempt's, or an attempt says that its answer was lost."""
        paid: Counter[Any] = Counter()
        for request in self._accepted:
            submission = self._submissions.get(_submission_in(request.webhook_url))
            if submission is None:
                self._tally.violated("I12", f"fal works on {request.request_id}, and no attempt of ours is")
                continue
            paid[submission.generation_id] += 1
            self._claim(request, submission)
        known = {row.request_id for row in self._submissions.values() if row.request_id}
        for stranger in known - {request.request_id for request in self._accepted}:
            self._tally.violated("I12", f"we have {stranger} on record, and fal does not")
        self._tally.count("jobs at fal", len(self._accepted))
        self._tally.count("generations with two jobs or more", sum(count > 1 for count in paid.values()))

    def _claim(self, request: Request, submission: Submission) -> None:
        in_doubt = {Submission.State.UNKNOWN, Submission.State.MISSING}
        if submission.request_id == request.request_id:
            self._tally.count(f"jobs {submission.state}")
        elif submission.request_id is not None:
            self._tally.violated(
                "I12", f"attempt {submission.pk} has {submission.request_id}, not {request.request_id}"
            )
        elif submission.state in in_doubt:
            self._tally.count(f"jobs never claimed ({submission.state})")
        else:
            self._tally.violated(
                "I12", f"fal took {request.request_id}; its attempt {submission.pk} is {submission.state}"
            )

    def _every_verdict_is_reflected(self) -> None:
        """I14: who completed has a job that fal completed; who got an answer has nothing left to wait for."""
        by_id = {request.request_id: request for request in self._accepted}
        for submission in self._submissions.values():
            request = by_id.get(submission.request_id or "")
            if submission.state != Submission.State.ACCEPTED or request is None:
                continue
            if submission.generation.status == Status.COMPLETED and request.error is not None:
                self._tally.violated("I14", f"{submission.generation_id} is completed, and fal failed")
            if submission.generation.status == Status.FAILED and _is_well(request):
                self._explain(submission.generation, request)

    def _explain(self, generation: Generation, request: Request) -> None:
        """fal delivered, and the customer got nothing: only what was made to go wrong may be the reason."""
        code = generation.failure_code
        was_cancelled = code == FailureCode.CANCELLED and generation.cancel_asked_at is not None
        if was_cancelled or any(word.startswith(EXCUSES.get(code, ())) for word in request.scenarios.split()):
            self._tally.count(f"fal delivered, and it ended as {code}")
        else:
            detail = f"fal delivered {request.request_id} [{request.scenarios}], and {generation.pk} ended as {code}"
            self._tally.violated("I14", detail)

    def _callbacks_are_kept(self) -> None:
        """I14: what we said 200 to is in the inbox."""
        kept = set(Delivery.objects.values_list("submission_id", "body_sha256").iterator())
        kept_as_text = {(str(submission), digest) for submission, digest in kept}
        answered: Counter[str] = Counter()
        for callback in self._log.callbacks():
            answered[f"callbacks answered {callback.status or 'not'}"] += 1
            if callback.status == 200:
                key = (_submission_in(callback.url), hashlib.sha256(callback.body).hexdigest())
                if key not in kept_as_text:
                    self._tally.violated("I14", f"a callback for {callback.request_id} was accepted and is not kept")
            if callback.status == 200 and callback.kind in ("forged", "wrong_account", "mismatch", "stale", "garbage"):
                self._tally.violated("B3", f"a {callback.kind} callback for {callback.request_id} was accepted")
            if callback.status is not None and 300 <= callback.status < 400:
                self._tally.violated("B38", f"a callback was answered {callback.status}")
        self._tally.counts.update(answered)

    def _the_bucket_is_what_we_say(self) -> None:
        """I13: same keys, same sizes, same bytes as fal's; no other object, no upload left open."""
        found = _listing(self._town)
        stored = {row.key: row for row in Output.objects.stored().iterator()}
        for missing in stored.keys() - found.keys():
            self._tally.violated("I13", f"{missing} is not in the bucket")
        self._judge_leftovers(found.keys() - stored.keys())
        with ThreadPoolExecutor(READERS) as pool:
            keys = sorted(stored.keys() & found.keys())
            for key, digest in zip(keys, pool.map(self._digest, keys), strict=True):
                if (found[key], digest) != (stored[key].size, stored[key].sha256):
                    self._tally.violated("I13", f"{key} holds other bytes than we say")
        self._compare_with_fal(stored.values())
        uploads = self._s3.list_multipart_uploads(Bucket=self._town.bucket.name).get("Uploads", [])
        if uploads:
            self._tally.violated("I13", f"{len(uploads)} uploads are still open")
        self._tally.count("files compared byte for byte", len(stored))

    def _judge_leftovers(self, keys: Iterable[str]) -> None:
        """A file of a generation that failed while it was copied may lie there; a stranger's may not."""
        places = {f"generations/{row.generation_id}/{row.index}" for row in Output.objects.exclude(state="stored")}
        for key in keys:
            if key.rpartition(".")[0] in places:
                self._tally.count("files left over of failed copies")
            else:
                self._tally.violated("I13", f"{key} belongs to nothing")

    def _digest(self, key: str) -> str:
        return hashlib.sha256(self._s3.get_object(Bucket=self._town.bucket.name, Key=key)["Body"].read()).hexdigest()

    def _compare_with_fal(self, outputs: Iterable[Output]) -> None:
        made: dict[str, set[str]] = defaultdict(set)
        for file in self._log.files():
            made[file.request_id].add(file.sha256)
        served = {
            row.generation_id: row.request_id
            for row in self._submissions.values()
            if row.state == Submission.State.ACCEPTED
        }
        for output in outputs:
            if output.sha256 not in made[str(served.get(output.generation_id))]:
                self._tally.violated("I13", f"{output.key} is no file that fal made for it")

    def _nobody_was_careless(self) -> None:
        """I16, I17: no unforeseen exception, no secret in a log, no call to a host that we do not trust."""
        for visit in self._log.visits():
            self._tally.violated("C14", f"the canary was called: {visit.method} {visit.path}")
        secrets = {
            "SECRET_KEY": [SECRETS["SECRET_KEY"]],
            "FAL_KEY": [self._town.environment["FAL_KEY"]],
            "AWS_SECRET_ACCESS_KEY": [self._town.bucket.secret_key],
            "a callback's token": [row.token for row in self._submissions.values()],
        }
        for program in self._town.limn:
            log_check.judge(program.name, program.output, secrets, self._tally)


def compare_with_customers(customers: Iterable[Any], tally: Tally) -> None:
    """I10: what customers were shown as the end is what stands in the database, and nothing of theirs is missing."""
    rows = {str(row.pk): row for row in Generation.objects.iterator()}
    for customer in customers:
        for generation_id in customer.seen.keys() - rows.keys():
            tally.violated("I10", f"{generation_id} was answered to {customer.name}, and does not exist")
        for generation_id, end in customer.ended.items():
            row = rows.get(generation_id)
            if row is not None and (row.status, row.version) != (end["status"], end["version"]):
                tally.violated("I10", f"{generation_id} was shown {end['status']} and is {row.status}")


def count_injected(log: Log, tally: Tally) -> None:
    """What the simulator really did of what the prompts asked for."""
    for post in log.posts():
        if post.outcome != "accepted":
            tally.hit(_first(post.scenarios, BEFORE_ACCEPT))
    written = {request.request_id: request.scenarios for request in log.accepted()}
    for scenarios in written.values():
        for word in scenarios.split():
            if not word.startswith((*BEFORE_ACCEPT, "cdn")):
                tally.hit(word)
    for served in log.served():
        if served.fault:
            tally.hit(_first(written[str(served.request_id)], (f"cdn:{served.fault}",)))


def count_failpoints(town: Town, tally: Tally) -> None:
    for program in town.limn:
        for name in re.findall(r"^failpoint \w+ \w+$", program.output, re.MULTILINE):
            tally.hit(name)


def _first(scenarios: str, beginnings: tuple[str, ...]) -> str:
    return next((word for word in scenarios.split() if word.startswith(beginnings)), "refused without being asked to")


def _submission_in(url: str | None) -> str:
    found = CALLBACK.search(urlsplit(url or "").path)
    return found["submission"] if found else ""


def _is_well(request: Request) -> bool:
    return request.state == "COMPLETED" and request.error is None


def _listing(town: Town) -> dict[str, int]:
    pages = town.bucket.client.get_paginator("list_objects_v2").paginate(Bucket=town.bucket.name)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}
