"""Copies outputs into the owner's storage: fetched safely, recognised by their bytes, read back and compared."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import tempfile
from typing import IO
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.utils import timezone

from database.time_scale import scaled
from generations import lifecycle
from generations.catalogue import FoundFile, extract_files
from generations.fal import Completed, FalError
from generations.files import sandbox, storage
from generations.files.inspection import Inspected, NotMedia
from generations.jobs import backoff, failpoints, leases
from generations.jobs.parallel import run
from generations.lifecycle import StoredFile
from generations.models import Output, Submission
from generations.provider import clients
from generations.safe_http import client as http_client
from generations.safe_http.client import Fetched

logger = logging.getLogger(__name__)

# Renewed while the copy goes on, so it is short: a killed worker's files are taken up again in seconds.
LEASE_SECONDS = scaled(15)
FETCH_SECONDS_MAX = scaled(900)
FILE_BYTES_MAX = 2 * 1024**3
LONGEST_RETRY_SECONDS = scaled(60)
# A server that stumbles is asked again soon. What is not there, or comes broken, may still be on its way through
# the CDN; six times over two minutes, and it will not come.
SOON_SECONDS = scaled(2)
LATER_SECONDS = scaled(5)
HOPELESS_MISSES = 6
# Half-way there fal is asked for its answer once more: the file may have moved since.
ASK_AGAIN_MISSES = 3


class Broken(Exception):
    """The file came, and is not what it should be."""


def run_once(*, limit: int) -> int:
    """Copy what is due, at most `limit`, side by side. How many it took on."""
    return _copy_all(leases.claim(Output.objects.to_copy(), limit=limit, seconds=LEASE_SECONDS))


def copy_generation(generation_id: UUID) -> int:
    """Copy what is due of one generation, side by side."""
    due = Output.objects.to_copy().filter(generation=generation_id)
    return _copy_all(leases.claim(due, limit=64, seconds=LEASE_SECONDS))


def _copy_all(outputs: list[Output]) -> int:
    return run(outputs, _copy, give_up=_give_up)


def _give_up(output: Output) -> None:
    lifecycle.output_lost(output, detail=f"{output.crashes} workers in a row died or stumbled over copying it")


def _copy(output: Output) -> None:
    with leases.renewing(output, seconds=LEASE_SECONDS):
        _copy_leased(output)


def _copy_leased(output: Output) -> None:
    try:
        with tempfile.TemporaryFile() as file:
            lifecycle.stored(output, _transfer(output, file))
    except (http_client.AddressRefused, http_client.TooLarge) as error:
        logger.error("an output may not be fetched", extra={"output": str(output.pk), "error": str(error)})
        lifecycle.output_lost(output, detail=str(error))
    except (http_client.Missing, Broken) as error:
        _try_again(output, error, first=LATER_SECONDS, missed=True)
    except (http_client.TryLater, BotoCoreError, ClientError, OSError) as error:
        _try_again(output, error, first=SOON_SECONDS, missed=False)


def _transfer(output: Output, file: IO[bytes]) -> StoredFile:
    fetched = _obtain(output, file)
    found = _recognise(output, file, fetched)
    key = key_of(output, found.extension)
    storage.put(key, file, content_type=found.content_type)
    failpoints.reach("copied")
    measured = storage.measure(key)
    if (measured.size_bytes, measured.sha256) != (fetched.size_bytes, fetched.sha256):
        raise Broken("storage holds other bytes than were sent")
    return StoredFile(
        key=key,
        kind=found.kind,
        content_type=found.content_type,
        size_bytes=fetched.size_bytes,
        sha256=fetched.sha256,
        width=found.width,
        height=found.height,
        duration_seconds=found.duration_seconds,
    )


def key_of(output: Output, extension: str) -> str:
    """Where it lies. Nothing from outside is in it, and a second try writes to the same place."""
    return f"generations/{output.generation_id}/{output.index}.{extension}"


def _obtain(output: Output, file: IO[bytes]) -> Fetched:
    if output.source_url.startswith("data:"):
        return _unpack(output.source_url, file)
    return http_client.fetch(
        output.source_url,
        file,
        hosts=settings.FAL_MEDIA_HOSTS,
        bytes_max=FILE_BYTES_MAX,
        seconds_max=FETCH_SECONDS_MAX,
    )


def _unpack(data_url: str, file: IO[bytes]) -> Fetched:
    # We never ask for sync_mode, and fal may still answer with a data: URI. The callback's cap bounds it.
    head, _, packed = data_url.partition(",")
    if not head.endswith(";base64"):
        raise Broken("a data: address that is not base64")
    try:
        content = base64.b64decode(packed, validate=True)
    except binascii.Error as error:
        raise Broken("a data: address that cannot be unpacked") from error
    file.write(content)
    return Fetched(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _recognise(output: Output, file: IO[bytes], fetched: Fetched) -> Inspected:
    if output.claimed_size_bytes is not None and output.claimed_size_bytes != fetched.size_bytes:
        # fal's file_size is right wherever it is given; a shorter file was cut on the way.
        raise Broken(f"{fetched.size_bytes} bytes came, fal announced {output.claimed_size_bytes}")
    try:
        return sandbox.probe(file)
    except NotMedia as error:
        raise Broken(f"{error}: {error.detail}" if error.detail else str(error)) from error


def _ask_again(output: Output) -> None:
    """Where fal says the file is now. When that cannot be had, the old address has to do."""
    try:
        found = _found_at_fal(output)
    except FalError as error:
        logger.warning("fal could not be asked for its answer", extra={"output": str(output.pk), "error": str(error)})
        return
    if found is not None and found.url != output.source_url:
        lifecycle.source_url_changed(output, source_url=found.url, claimed_size_bytes=found.claimed_size_bytes)


def _found_at_fal(output: Output) -> FoundFile | None:
    submission = output.generation.submissions.filter(state=Submission.State.ACCEPTED).first()
    verdict = clients.fal().result(submission.response_url) if submission else None
    files = extract_files(verdict.answer) if isinstance(verdict, Completed) else []
    return next((file for file in files if file.role == output.role), None)


def _try_again(output: Output, error: Exception, *, first: float, missed: bool) -> None:
    detail = f"{type(error).__name__}: {error}"[:500]
    extra = {"output": str(output.pk), "attempt": output.attempts, "error": detail}
    logger.warning("an output could not be copied", extra=extra)
    lifecycle.not_copied(output, detail=detail, missed=missed)
    if (missed and output.misses >= HOPELESS_MISSES) or output.give_up_at <= timezone.now():
        lifecycle.output_lost(output, detail=detail)
        return
    if missed and output.misses == ASK_AGAIN_MISSES:
        _ask_again(output)
    asked = error.retry_after_seconds if isinstance(error, http_client.TryLater) else None
    wait = backoff.seconds(output.attempts, first=first, longest=LONGEST_RETRY_SECONDS, asked=asked)
    leases.release(output, retry_in_seconds=wait)
