"""Checks the input files of orders, and gives fal URLs of them.

`services` calls `check` or `check_all` before it places an order: outside of a transaction, because files that are
named by URL are fetched. The lifecycle calls `find_own_files` in its transaction and records uploads and outputs as
`InputFile` rows. The submitter calls `arguments_for_fal` for each submission.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from credits.models import Account
from generations.catalogue import InvalidInput, find
from generations.catalogue.files import MEGABYTE, FileInput, FileRequirements, replace_at
from generations.errors import DomainError
from generations.files import sandbox, signed_urls
from generations.files.inspection import is_safetensors
from generations.files.media_types import NotMedia, TooCostly
from generations.models import Generation, InputFile, Output, Upload
from generations.ordering.orders import Order
from generations.safe_http import client as http_client
from generations.safe_http import concurrency
from generations.safe_http.addresses import is_loopback
from generations.safe_http.urls import parse

# For all files of a request together, because a customer waits for the response. Each URL of a batch adds a little.
CHECK_SECONDS = 8.0
CHECK_SECONDS_PER_URL = 0.5
CHECK_SECONDS_MAX = 40.0
CONCURRENT_FETCHES = 4
# Weights may have gigabytes, so only their beginning is fetched, which tells the format.
WEIGHTS_BEGINNING_BYTES = 4096
# Hosts of weights redirect to their storage.
WEIGHTS_REDIRECTS_MAX = 3
# A URL for fal stays valid for this long after the deadline of the generation. At the deadline fal is asked to cancel,
# and it may go on fetching files until it knows of that.
URL_MARGIN_SECONDS = 3600


class FilesUnreachable(DomainError):
    """fal could not fetch files that are stored with Limn."""

    code, status, title = "files_unreachable", 503, "Input files unreachable"


def check(account: Account, order: Order) -> None:
    """Check that every file which the order names exists, can be fetched by fal, and is one that the model takes.

    Fetches the files that are named by URL, for up to CHECK_SECONDS_MAX. Call it outside of any transaction.

    Raises:
        InvalidInput: With the location of each wrong file.
        FilesUnreachable: fal cannot reach the machine that stores an upload or output.
        Busy: All slots for fetches are taken.
        SandboxUnavailable: A file could not be inspected. This says nothing about it.
    """
    _check(account, order.file_inputs)


def check_all(account: Account, orders: Iterable[Order]) -> None:
    """Check the input files of several orders at once, as `check` does.

    The location of an error begins with the index of its order.
    """
    _check(
        account,
        [
            replace(file_input, loc=(index, *file_input.loc))
            for index, order in enumerate(orders)
            for file_input in order.file_inputs
        ],
    )


def arguments_for_fal(generation: Generation) -> dict[str, Any]:
    """Return the arguments to send to fal, with a newly signed URL for each upload and output that the generation uses.

    They are saved on the generation, so that fal's request history can be searched for what was sent.
    """
    input_files = list(generation.input_files.select_related("upload", "output"))
    if input_files:
        add_urls(generation, input_files)
        Generation.objects.filter(pk=generation.pk).update(arguments=generation.arguments)
    return dict(generation.arguments)


def add_urls(generation: Generation, input_files: Sequence[InputFile]) -> None:
    """Put a newly signed URL for each of its input files into the arguments of a generation, without saving it."""
    if input_files:
        # fal fetches a file when it runs the job, and again when it retries, so the URL has to outlive its queue.
        seconds = find(generation.model).deadline_seconds + URL_MARGIN_SECONDS
        arguments = copy.deepcopy(generation.arguments)
        for input_file in input_files:
            replace_at(arguments, input_file.path, signed_urls.for_fal(input_file.file, seconds=seconds))
        generation.arguments = arguments


def find_own_files(
    account: Account, file_inputs: Iterable[FileInput], *, lock: bool = False
) -> dict[FileInput, Upload | Output]:
    """Return the uploads and outputs that these inputs name. Inputs that name a file by URL are skipped.

    Args:
        lock: Lock their rows until the transaction ends, so that none is erased meanwhile.

    Raises:
        InvalidInput: A file does not exist, belongs to another account, or is not one that the model takes. The first
            two look the same, so that ids of other accounts cannot be tested.
    """
    named = {each: next(iter(each.value.items())) for each in file_inputs if isinstance(each.value, Mapping)}
    files = _load_files(account, set(named.values()), lock=lock)
    found = {each: files[name] for each, name in named.items() if name in files}
    errors = [
        _error(each, f"There is no such {kind}.", "not_found") for each, (kind, _) in named.items() if each not in found
    ]
    for each, file in found.items():
        # Uploads are always images.
        kind, seconds = ("image", None) if isinstance(file, Upload) else (file.kind, file.duration_seconds)
        problem = (
            each.requirements.problem_with(
                media_type=file.content_type, size_bytes=file.size_bytes or 0, seconds=seconds
            )
            if kind == each.requirements.kind
            else each.requirements.wrong_kind
        )
        if problem:
            errors.append(_error(each, f"This {named[each][0]} is {problem[0]}.", problem[1]))
    if errors:
        raise InvalidInput(errors)
    return found


def _load_files(account: Account, names: Set[tuple[str, str]], *, lock: bool) -> dict[tuple[str, str], Upload | Output]:
    """Return the account's uploads and outputs among `names`, which are pairs like ("upload", id).

    Two queries at most.
    """
    # In the order of their keys: two transactions that lock the same rows cannot wait for each other.
    uploads = Upload.objects.ready().filter(account=account).order_by("pk")
    outputs = Output.objects.stored().filter(generation__account=account).order_by("pk")
    if lock:
        uploads = uploads.select_for_update(no_key=True)
        outputs = outputs.select_for_update(of=("self",), no_key=True)
    found: dict[tuple[str, str], Upload | Output] = {}
    for kind, rows in (("upload", uploads), ("output", outputs)):
        if ids := [name for each, name in names if each == kind]:
            found |= {(kind, str(row.pk)): row for row in rows.filter(pk__in=ids)}
    return found


def _check(account: Account, file_inputs: Sequence[FileInput]) -> None:
    own_files = find_own_files(account, file_inputs).values()
    # The simulator runs on this machine and can fetch from it; fal itself cannot.
    if not _is_on_this_machine(settings.FAL_QUEUE_URL):
        for file in own_files:
            if _is_on_this_machine(signed_urls.for_fal(file, seconds=1)):
                raise FilesUnreachable(
                    "The provider cannot fetch this file, because this Limn stores files on a machine that is not "
                    "reachable from outside. Its operator has to set SITE_URL to a public address, or use a bucket."
                )
    by_url = [each for each in file_inputs if each.is_url]
    if not by_url:
        return
    # A file that is named several times is fetched once.
    files = {(str(each.value), each.requirements) for each in by_url}
    seconds = min(CHECK_SECONDS + CHECK_SECONDS_PER_URL * len(files), CHECK_SECONDS_MAX)
    find_problem = partial(_find_problem, until=monotonic() + seconds)
    with (
        concurrency.slot(account.pk),
        ThreadPoolExecutor(min(CONCURRENT_FETCHES, len(files)), thread_name_prefix="input file") as pool,
    ):
        problems = dict(zip(files, pool.map(find_problem, *zip(*files, strict=True)), strict=True))
    errors = [_error(each, *problem) for each in by_url if (problem := problems[str(each.value), each.requirements])]
    if errors:
        raise InvalidInput(errors)


# The message and the error code for each way in which a file cannot be used. The codes are those that fal uses for the
# same problems. The messages do not say what exactly failed, because that could reveal something about Limn's network.
_PROBLEMS: dict[type[Exception], tuple[str, str]] = {
    http_client.AddressRefused: (
        "This URL cannot be used. Give the public https URL of the file itself, without a redirect.",
        "file_download_error",
    ),
    http_client.HostRefused: (
        "This URL cannot be used. Give the public https URL of the file itself, without a redirect.",
        "file_download_error",
    ),
    http_client.TooLarge: ("The file is larger than {megabytes} MB.", "file_too_large"),
    http_client.Missing: ("There is no file at this URL, or it is not public.", "file_download_error"),
    http_client.Unproven: (
        "The server of this file closes the connection without saying how long the file is, so it may be incomplete. "
        "Use a server that sends Content-Length.",
        "file_download_error",
    ),
    http_client.TryLater: (
        "The file could not be fetched in time. Try again, or give one of your uploads.",
        "file_download_error",
    ),
    NotMedia: ("The file at this URL is not {noun}.", "{kind}_load_error"),
}


def _find_problem(url: str, requirements: FileRequirements, *, until: float) -> tuple[str, str] | None:
    """Return why the model cannot use the file at `url`, as a message and an error code; None if it can.

    Args:
        until: When the check has to end, as `monotonic()` counts.

    Raises:
        SandboxUnavailable: Trouble of this machine, which says nothing about the file.
    """

    def fetch_beginning(url: str) -> bytes:
        return http_client.fetch_beginning(
            url,
            hosts=_permitted_hosts(url),
            bytes_max=WEIGHTS_BEGINNING_BYTES,
            seconds_max=max(0.1, until - monotonic()),
        )

    try:
        if until <= monotonic():
            raise http_client.TryLater("the other files took all the time")
        if requirements.kind != "weights":
            return _inspect(url, requirements, until=until)
        beginning = http_client.follow_redirects(url, fetch_beginning, redirects_max=WEIGHTS_REDIRECTS_MAX)
        if not is_safetensors(beginning):
            raise NotMedia("a file other than safetensors")
    except (TooCostly, OSError) as error:
        # No memory or time for its inspection, or no space on the disk. The same file may be used later.
        raise sandbox.SandboxUnavailable(sandbox.OVERLOADED) from error
    except (http_client.FetchError, NotMedia) as error:
        message, code = next(problem for kind, problem in _PROBLEMS.items() if isinstance(error, kind))
        named = {"noun": requirements.noun, "kind": requirements.kind, "megabytes": requirements.megabytes_max}
        return message.format(**named), code.format(**named)
    return None


def _inspect(url: str, requirements: FileRequirements, *, until: float) -> tuple[str, str] | None:
    """Fetch an image, audio or video file and check it. Raises FetchError, or NotMedia if it is of another kind."""
    with tempfile.TemporaryFile() as file:
        fetched = http_client.fetch(
            url,
            file,
            hosts=_permitted_hosts(url),
            bytes_max=requirements.megabytes_max * MEGABYTE,
            seconds_max=until - monotonic(),
        )
        found = sandbox.inspect(file)
    if not (fetched.end_is_marked or found.proves_end) and not http_client.is_whole(
        url, fetched.size_bytes, hosts=_permitted_hosts(url), seconds_max=max(0.1, (until - monotonic()) / 2)
    ):
        raise http_client.TryLater("the connection was closed before the end of the file")
    if found.kind != requirements.kind:
        raise NotMedia("of another kind")
    problem = requirements.problem_with(
        media_type=found.content_type, size_bytes=fetched.size_bytes, seconds=found.duration_seconds
    )
    return (f"The file at this URL is {problem[0]}.", problem[1]) if problem else None


def _permitted_hosts(url: str) -> list[str]:
    """Return the hosts that may serve this file: any, but loopback hosts only if FAL_MEDIA_HOSTS names them."""
    host = parse(url).host
    return settings.FAL_MEDIA_HOSTS if is_loopback(host) else [*settings.FAL_MEDIA_HOSTS, host]


def _is_on_this_machine(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _error(file_input: FileInput, message: str, code: str) -> dict[str, Any]:
    """Return one error for InvalidInput."""
    return {"loc": list(file_input.loc), "msg": message, "type": code}
