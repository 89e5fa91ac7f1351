"""Copies outputs from fal into the operator's storage.

A file is fetched by the safe HTTP client, recognised by its bytes in the sandbox, and stored so that the storage proves
its size and SHA-256. Only then is it reported to the lifecycle. Parts of a large file are sent while it is fetched, and
become an object only if it is recognised. The loop of `manage.py work` calls `start_due`.
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from datetime import timedelta
from functools import cache, partial

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.db.models import QuerySet

from database import clock
from database.time_scale import scaled
from database.transactions import UNAVAILABLE
from generations import lifecycle
from generations.catalogue import extract_files
from generations.fal import Completed, FalError
from generations.files import sandbox, storage, storage_mark, write_attempts
from generations.files.media_types import NotMedia, TooCostly
from generations.files.spool import Spool
from generations.jobs import backoff, failpoints, leases, parallel
from generations.lifecycle import StoredFile
from generations.models import FailureCode, Output, Submission
from generations.provider import clients
from generations.safe_http import client as http_client
from generations.workers import statements

logger = logging.getLogger(__name__)

# Short, because it is renewed while the copy runs: the files of a killed worker are copied again within seconds.
# On a machine that is busy with a chaos test, a second is too short for a living worker to renew it.
LEASE_SECONDS = scaled(15, at_least=6)
FETCH_SECONDS_MAX = scaled(900)
# For each of two questions about the length of a file.
LENGTH_SECONDS_MAX = 20.0
FILE_BYTES_MAX = 2 * 1024**3
TOO_LARGE_MESSAGE = f"The result is larger than the {FILE_BYTES_MAX // 1024**3} GiB that this service stores."
LONGEST_RETRY_SECONDS = scaled(60)
# The first pause after trouble on the way, which passes quickly.
FIRST_RETRY_SECONDS = scaled(2)
# The first pause after a miss: the file was not there, or was not what it should be. It may still be on its way
# through the CDN; after six misses over two minutes it will not come.
FIRST_RETRY_AFTER_MISS_SECONDS = scaled(5)
MISSES_MAX = 6
# Staff are told of a file that could not be copied for this long.
PATIENCE = timedelta(seconds=scaled(900))
# A file that kills its workers is tried rarely, so that the others are not kept waiting.
STUCK_RETRY_SECONDS = scaled(300)
# The work mostly waits for the network. More copies at once would only compete for the same processor and line.
THREADS = 16
FREE_SECONDS_MAX = 5.0
# Half-way fal is asked for its result once more: the file may have a new URL.
ASK_AGAIN_MISSES = 3


class Broken(Exception):
    """The fetched bytes are not the file that they should be."""


class LeaseLost(Exception):
    """The lease ran out during the copy, and the output is no longer this worker's."""


# Everything else that ends an attempt is an error of Limn, and is logged with its traceback.
EXPECTED_ERRORS = (
    *(http_client.FetchError, Broken, TooCostly, sandbox.SandboxUnavailable, storage.StoredOtherwise),
    *(BotoCoreError, ClientError, OSError),
)


def due() -> QuerySet[Output]:
    """Return the rows that are due and that no worker holds."""
    return leases.unleased(Output.objects.to_copy())


@cache
def _claim() -> leases.Claim[Output]:
    return leases.Claim(Output.objects.to_copy(), seconds=LEASE_SECONDS, record=statements.RECORD_WRITE_ATTEMPTS)


def start_due(*, limit: int) -> int:
    """Start to copy up to `limit` due outputs in the threads of this process. Returns how many.

    While all threads are busy it waits for one, at most FREE_SECONDS_MAX. None is started if the storage is not ours.
    """
    if storage_mark.guard.refusal():
        return 0
    started = 0
    while started < limit and (free := _threads.wait_for_free(seconds=FREE_SECONDS_MAX)):
        wanted = min(limit - started, free)
        claimed = _claim().claim(limit=wanted)
        started += len(_threads.start(claimed))
        if len(claimed) < wanted:
            break
    return started


def run_once(*, limit: int) -> int:
    """Copy up to `limit` due outputs, in parallel, and wait for them. Returns how many."""
    return copy_claimed(_claim().claim(limit=limit))


def copy_claimed(outputs: list[Output]) -> int:
    """Copy outputs that this process has leased for LEASE_SECONDS, and wait for them. Returns how many."""
    return _threads.run(outputs)


def _give_up(output: Output) -> None:
    """Try a file that CRASHES_MAX workers in a row did not survive rarely, and give it up when fal has deleted it."""
    detail = f"{output.crashes} workers in a row died while they copied it"
    if output.give_up_at <= clock.now():
        lifecycle.output_lost(output, detail=detail, code=FailureCode.INTERNAL_ERROR)
        return
    lifecycle.report_stuck(output, detail=detail)
    # One crash below the limit: the next worker that dies parks it again at once.
    leases.release(output, retry_in_seconds=STUCK_RETRY_SECONDS, crashes=leases.CRASHES_MAX - 1)


def _copy(output: Output) -> None:
    spool: Spool | None = None
    try:
        with storage.new_spool(partial(key_of, output), expected_bytes=output.claimed_size_bytes) as spool:
            is_named = lifecycle.stored(output, _transfer(output, spool))
        if not is_named:
            # Another worker has the lease, or the generation has ended and may be erased by now.
            write_attempts.settle(output)
        return
    except LeaseLost:
        logger.warning("an output is left to the worker that holds its lease", extra={"output": str(output.pk)})
    except (http_client.AddressRefused, http_client.TooLarge) as error:
        # Final: the same URL is refused again, and the same file is too large again.
        logger.error("an output is refused", extra={"output": str(output.pk), "error": str(error)})
        message = TOO_LARGE_MESSAGE if isinstance(error, http_client.TooLarge) else ""
        lifecycle.output_lost(output, detail=str(error), message=message)
    except (http_client.Missing, Broken) as error:
        _retry_later(output, error, first=FIRST_RETRY_AFTER_MISS_SECONDS, missed=True)
    except UNAVAILABLE:
        raise
    except Exception as error:
        # The storage, the network, this machine, its DNS, a setting, or an error of Limn. The file is still at fal.
        _retry_later(output, error, first=FIRST_RETRY_SECONDS, missed=False)
    write_attempts.end(output, has_written=spool is not None and spool.is_sent)


_threads = parallel.Pool(THREADS, _copy, give_up=_give_up, lease_seconds=LEASE_SECONDS)


def _transfer(output: Output, spool: Spool) -> StoredFile:
    """Fetch the output into `spool`, recognise and store it.

    Raises:
        FetchError, Broken, LeaseLost, and errors of the storage.
    """
    started_at = _uptime()
    end_is_proven = _fetch(output, spool)
    try:
        found = sandbox.inspect(spool.file) if spool.content is None else sandbox.inspect_output(spool.content)
    except TooCostly:
        raise
    except NotMedia as error:
        raise Broken(f"{error}: {error.detail}" if error.detail else str(error)) from error
    # A file that ended with its connection may have been cut off there. Without an answer it is fetched again later.
    if not (end_is_proven or found.proves_end) and not http_client.is_whole(
        output.source_url, spool.size_bytes, hosts=settings.FAL_MEDIA_HOSTS, seconds_max=LENGTH_SECONDS_MAX
    ):
        raise Broken(f"the connection was closed after {spool.size_bytes} bytes, and the file is longer")
    # A process that was suspended is here long after its lease. The commit decides who has won; this keeps a file that
    # will lose out of the storage. The usual copy is so quick that nothing needs to be asked.
    if _uptime() - started_at > LEASE_SECONDS and not lifecycle.holds_lease(output):
        raise LeaseLost
    key = key_of(output, found.extension)
    storage.put_proven(key, spool, content_type=found.content_type)
    failpoints.reach("copied")
    return StoredFile(
        key=key,
        kind=found.kind,
        content_type=found.content_type,
        size_bytes=spool.size_bytes,
        sha256=spool.digest.hex(),
        width=found.width,
        height=found.height,
        duration_seconds=found.duration_seconds,
    )


def _fetch(output: Output, spool: Spool) -> bool:
    """Fetch the output into `spool`. Returns whether it is proven to be whole. Raises FetchError, Broken."""
    if output.source_url.startswith("data:"):
        spool.write(_decode(output.source_url))
        return True
    end_is_proven = http_client.stream(
        output.source_url,
        spool,
        hosts=settings.FAL_MEDIA_HOSTS,
        bytes_max=FILE_BYTES_MAX,
        seconds_max=FETCH_SECONDS_MAX,
        keeps_connection=True,
    )
    if output.claimed_size_bytes is None:
        return end_is_proven
    # fal's file_size is right wherever it is given, so a shorter file was cut on the way.
    if output.claimed_size_bytes != spool.size_bytes:
        raise Broken(f"{spool.size_bytes} bytes came, fal announced {output.claimed_size_bytes}")
    return True


def key_of(output: Output, extension: str) -> str:
    """Return the storage key of an output, at the place that the claim has put on record."""
    return f"{output.place_of(output.lease)}.{extension}"


def _uptime() -> float:
    """Return the seconds since the machine was started, with those in which it was suspended where they are known."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _decode(data_url: str) -> bytes:
    # Limn never orders with sync_mode, but fal may answer with a data: URI all the same. The size limit of callbacks
    # bounds it.
    head, _, encoded = data_url.partition(",")
    if not head.endswith(";base64"):
        raise Broken("a data: URI that is not base64")
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise Broken("a data: URI that cannot be decoded") from error


def _retry_later(output: Output, error: Exception, *, first: float, missed: bool) -> None:
    """Release the output for another attempt.

    It is given up after MISSES_MAX misses, and when the attempts still fail after the time for which fal keeps it.
    Misses before an outage of Limn do not count.
    """
    detail, now = f"{type(error).__name__}: {error}"[:500], clock.now()
    extra = {"output": str(output.pk), "attempt": output.attempts, "error": detail}
    logger.warning("an output could not be copied", extra=extra, exc_info=not isinstance(error, EXPECTED_ERRORS))
    unanswered = output.record_unanswered(now)
    lifecycle.not_copied(output, detail=detail, missed=missed, is_first=not unanswered)
    if missed and output.misses >= MISSES_MAX:
        lifecycle.output_lost(output, detail=detail)
        return
    if output.give_up_at <= now and unanswered >= PATIENCE:
        is_fals = isinstance(error, http_client.FetchError) and not isinstance(error, http_client.HostRefused)
        code = FailureCode.COPY_FAILED if is_fals else FailureCode.INTERNAL_ERROR
        lifecycle.output_lost(output, detail=detail, code=code)
        return
    if unanswered >= PATIENCE:
        lifecycle.report_stuck(output, detail=detail)
    if missed and output.misses == ASK_AGAIN_MISSES:
        _refresh_source_url(output)
    asked = error.retry_after_seconds if isinstance(error, http_client.TryLater) else None
    wait = backoff.seconds(output.attempts, first=first, longest=LONGEST_RETRY_SECONDS, asked=asked)
    leases.release(output, retry_in_seconds=wait, changes=output.unanswered_columns(wait))


def _refresh_source_url(output: Output) -> None:
    """Ask fal for its result again, and take the URL that it names now. If fal does not answer, the old one stays."""
    submission = output.generation.submissions.filter(state=Submission.State.ACCEPTED).first()
    try:
        result = clients.fal().result(clients.receipt_of(submission).response_url) if submission else None
    except FalError as error:
        logger.warning("the result could not be read again", extra={"output": str(output.pk), "error": str(error)})
        return
    files = extract_files(result.answer) if isinstance(result, Completed) else []
    found = next((file for file in files if file.role == output.role), None)
    if found is not None and found.url != output.source_url:
        lifecycle.source_url_changed(output, source_url=found.url, claimed_size_bytes=found.claimed_size_bytes)
