"""What a generation works on: pictures, sounds and videos, by address or as what lies with us.

A door asks `check` before it orders, outside of any transaction, and then orders by `order` (or, several at once, by
`check_all` and `order_batch`). What lies with us is noted in rows; fal is sent an address of it that is signed anew for
each attempt, and outlives fal's queue and its retries.
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
from generations.files.media_types import NotMedia
from generations.models import Generation, Output, Upload
from generations.ordering.orders import Order
from generations.safe_http import client as http_client
from generations.safe_http import concurrency
from generations.safe_http.addresses import is_loopback
from generations.safe_http.urls import parse

# All files of one request together: somebody waits for the answer. A batch of many gets some more.
CHECK_SECONDS = 8.0
CHECK_SECONDS_PER_URL = 0.5
CHECK_SECONDS_MAX = 40.0
LOOKS_AT_ONCE = 4
# Weights are too large to be fetched; what they are stands at their head. Where they are kept, an address leads on.
HEAD_BYTES = 4096
REDIRECTS_MAX = 3
# fal tries ten times, and queues an order again while it does. It is asked to stop at the deadline; then it may still
# take a while to hear that.
MARGIN_SECONDS = 3600


class FilesUnreachable(DomainError):
    """fal could not fetch files that are stored with Limn."""

    code, status, title = "files_unreachable", 503, "Input files unreachable"


def check(account: Account, order: Order) -> None:
    """Checks that every file which the order names exists and fits. Fetches the ones named by URL, for some seconds.

    Call it outside of any transaction. Raises InvalidInput with the location of each wrong file, FilesUnreachable,
    concurrency.Busy, SandboxUnavailable.
    """
    _check(account, order.file_inputs)


def check_all(account: Account, orders: Iterable[Order]) -> None:
    """`check` for several orders at once. The location of an error begins with the index of its order."""
    _check(
        account,
        [replace(place, loc=(index, *place.loc)) for index, order in enumerate(orders) for place in order.file_inputs],
    )


def arguments_for_fal(generation: Generation) -> dict[str, Any]:
    """What fal is sent: the arguments, with a fresh address of each file of ours.

    They are kept, so that fal's own record can be searched for what it was really sent.
    """
    input_files = list(generation.input_files.select_related("upload", "output"))
    if input_files:
        seconds = find(generation.model).deadline_seconds + MARGIN_SECONDS
        arguments = copy.deepcopy(generation.arguments)
        for input_file in input_files:
            replace_at(arguments, input_file.path, signed_urls.for_fal(input_file.file, seconds=seconds))
        Generation.objects.filter(pk=generation.pk).update(arguments=arguments)
        generation.arguments = arguments
    return dict(generation.arguments)


def _check(account: Account, places: Sequence[FileInput]) -> None:
    for file in find_own_files(account, places).values():
        _require_reachable(file)
    if by_address := [place for place in places if place.is_url]:
        with concurrency.slot(account):
            _look_at(by_address)


# --- Files of ours --------------------------------------------------------------------------------------------------


def find_own_files(
    account: Account, places: Iterable[FileInput], *, lock: bool = False
) -> dict[FileInput, Upload | Output]:
    """The files that these places name. What is not there, and what is somebody else's, sounds alike."""
    named = {place: next(iter(place.value.items())) for place in places if isinstance(place.value, Mapping)}
    files = _files(account, set(named.values()), lock=lock)
    found = {place: files[name] for place, name in named.items() if name in files}
    errors = [
        _error(place, f"There is no such {kind}.", "not_found")
        for place, (kind, _) in named.items()
        if place not in found
    ]
    for place, file in found.items():
        if unfit := _unfit_of_ours(place.requirements, file):
            errors.append(_error(place, f"This {named[place][0]} is {unfit[0]}.", unfit[1]))
    if errors:
        raise InvalidInput(errors)
    return found


def _files(account: Account, names: Set[tuple[str, str]], *, lock: bool) -> dict[tuple[str, str], Upload | Output]:
    """Those of the customer's files that there are, by ("upload", id) and ("output", id)."""
    uploads = Upload.objects.ready().filter(account=account).order_by("pk")
    outputs = Output.objects.stored().filter(generation__account=account).order_by("pk")
    if lock:
        uploads, outputs = uploads.select_for_update(), outputs.select_for_update(of=("self",))
    found: dict[tuple[str, str], Upload | Output] = {}
    for kind, rows in (("upload", uploads), ("output", outputs)):
        if ids := [name for each, name in names if each == kind]:
            found |= {(kind, str(row.pk)): row for row in rows.filter(pk__in=ids)}
    return found


def _unfit_of_ours(wanted: FileRequirements, file: Upload | Output) -> tuple[str, str] | None:
    kind, seconds = ("image", None) if isinstance(file, Upload) else (file.kind, file.duration_seconds)
    if kind != wanted.kind:
        return wanted.wrong_kind
    return wanted.problem_with(media_type=file.content_type, size_bytes=file.size_bytes or 0, seconds=seconds)


def _require_reachable(file: Upload | Output) -> None:
    """fal must be able to fetch it. With the simulator on this machine it always is."""
    if is_loopback(urlsplit(settings.FAL_QUEUE_URL).hostname or ""):
        return
    if is_loopback(urlsplit(signed_urls.for_fal(file, seconds=1)).hostname or ""):
        raise FilesUnreachable(
            "The provider could not fetch this file: Limn keeps its files on a machine that only itself can reach. "
            "Its operator must set SITE_URL to a public address, or keep files in a bucket."
        )


# --- Files by address -----------------------------------------------------------------------------------------------


def _look_at(places: Sequence[FileInput]) -> None:
    """Fetch each address once, some side by side."""
    addresses = {(str(place.value), place.requirements) for place in places}
    seconds = min(CHECK_SECONDS + CHECK_SECONDS_PER_URL * len(addresses), CHECK_SECONDS_MAX)
    look = partial(_what_is_wrong, until=monotonic() + seconds)
    with ThreadPoolExecutor(min(LOOKS_AT_ONCE, len(addresses)), thread_name_prefix="look") as pool:
        said = dict(zip(addresses, pool.map(look, *zip(*addresses, strict=True)), strict=True))
    if errors := [_error(place, *why) for place in places if (why := said[str(place.value), place.requirements])]:
        raise InvalidInput(errors)


def _what_is_wrong(url: str, wanted: FileRequirements, *, until: float) -> tuple[str, str] | None:
    """In words and for programs; None when there is what is wanted.

    What exactly went wrong on the way is not told: it could be about our network.
    """
    try:
        return _look(url, wanted, seconds_max=until - monotonic())
    except (http_client.FetchError, NotMedia) as error:
        words, kind = next(said for kind_of_error, said in _SAID.items() if isinstance(error, kind_of_error))
        named = {"noun": wanted.noun, "kind": wanted.kind, "megabytes": wanted.megabytes_max}
        return words.format(**named), kind.format(**named)


# The types are fal's own words for the same troubles.
_SAID: dict[type[Exception], tuple[str, str]] = {
    http_client.AddressRefused: (
        "This address cannot be used. Give the public https address of the file itself, without a redirect.",
        "file_download_error",
    ),
    http_client.TooLarge: ("The file is larger than {megabytes} MB.", "file_too_large"),
    http_client.Missing: ("There is nothing at this address, or it is not public.", "file_download_error"),
    http_client.TryLater: (
        "The file could not be fetched in time. Try again, or give one of your uploads.",
        "file_download_error",
    ),
    NotMedia: ("The file at this URL is not {noun}.", "{kind}_load_error"),
}


def _look(url: str, wanted: FileRequirements, *, seconds_max: float) -> tuple[str, str] | None:
    """Why what lies there will not do. Raises FetchError; NotMedia when it is of another kind."""
    if seconds_max <= 0:
        raise http_client.TryLater("the others took all the time")
    if wanted.kind == "weights":
        _look_at_the_head(url, seconds_max=seconds_max)
        return None
    with tempfile.TemporaryFile() as file:
        bytes_max = wanted.megabytes_max * MEGABYTE
        size = http_client.fetch(url, file, hosts=_hosts(url), bytes_max=bytes_max, seconds_max=seconds_max).size_bytes
        found = sandbox.inspect(file)
    if found.kind != wanted.kind:
        raise NotMedia("of another kind")
    unfit = wanted.problem_with(media_type=found.content_type, size_bytes=size, seconds=found.duration_seconds)
    return (f"What lies at this address is {unfit[0]}.", unfit[1]) if unfit else None


def _look_at_the_head(url: str, *, seconds_max: float) -> None:
    until = monotonic() + seconds_max

    def head(url: str) -> bytes:
        return http_client.fetch_beginning(
            url, hosts=_hosts(url), bytes_max=HEAD_BYTES, seconds_max=max(0.1, until - monotonic())
        )

    if not is_safetensors(http_client.follow_redirects(url, head, redirects_max=REDIRECTS_MAX)):
        raise NotMedia("no safetensors")


def _hosts(url: str) -> list[str]:
    """Any public name; and of this machine what the operator named, which is where the simulator keeps its files."""
    host = parse(url).host
    return settings.FAL_MEDIA_HOSTS if is_loopback(host) else [*settings.FAL_MEDIA_HOSTS, host]


def _error(place: FileInput, message: str, kind: str) -> dict[str, Any]:
    return {"loc": list(place.loc), "msg": message, "type": kind}
