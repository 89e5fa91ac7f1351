"""The responses of the file server for each `cdn` scenario: errors, wrong content, and faulty sending."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from simulator.http_messages import HttpResponse, Sender, json_response
from simulator.response_faults import (
    declare_huge,
    drip,
    send_endless,
    send_without_length,
    truncate,
    truncate_without_length,
)

BOMB_MEGABYTES = 100
ERROR_PAGE = b"<!doctype html><title>Error</title><h1>The file could not be loaded</h1>"

SENDERS: Mapping[str, Sender] = {
    "truncated": truncate,
    "cut_nolen": truncate_without_length,
    "cut_untold": truncate_without_length,
    "nolen": send_without_length,
    "untold": send_without_length,
    "endless": send_endless,
    "drip": drip,
    "huge": declare_huge,
}


# Files of these faults can be fetched, but nothing is told about their length.
UNTOLD = ("cut_untold", "untold")


def file_error(status: int) -> HttpResponse:
    """Return the response for a file that cannot be served."""
    headers = {"Retry-After": "1"} if status == 429 else {}
    return json_response({"detail": "The file is not available."}, status, headers)


def answer_question(correct: HttpResponse, fault: str | None, *, asked_range: str | None) -> HttpResponse:
    """Return the response to HEAD, or to a GET of a range.

    Args:
        fault: The fault of the file, one of SENDERS. It strikes a download as a whole, and not such a request.
        asked_range: The `Range` header. One that is not understood is ignored.
    """
    if fault in UNTOLD:
        return file_error(403)
    size = len(correct.body)
    found = re.fullmatch(r"bytes=(\d{1,18})-(\d{0,18})", asked_range or "")
    if found is None:
        return correct
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first > last:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    headers = {**correct.headers, "Content-Range": f"bytes {first}-{last}/{size}"}
    return replace(correct, status=206, headers=headers, body=correct.body[first : last + 1])


def spoil_file(correct: HttpResponse, fault: str, *, canary_url: str) -> HttpResponse:
    """Return the response to a download with this fault, a choice of `cdn`."""
    if fault in SENDERS:
        return replace(correct, send=SENDERS[fault])
    if fault.isdigit():
        return file_error(int(fault))
    if fault == "bomb":
        return replace(correct, headers={**correct.headers, "Content-Encoding": "gzip"}, body=_gzip_bomb())
    responses = {
        "html": HttpResponse(headers={"Content-Type": "image/png"}, body=ERROR_PAGE),
        "redirect": HttpResponse(status=302, headers={"Location": f"{canary_url}/files/elsewhere"}),
        "wrong_type": replace(correct, headers={**correct.headers, "Content-Type": "text/html"}),
        "expires": file_error(404),
    }
    return responses[fault]


@lru_cache(maxsize=1)
def _gzip_bomb() -> bytes:
    """Return 100 MB of zeros as about 100 KB of gzip."""
    # wbits 31 selects the gzip format. Compressed megabyte by megabyte, to hold only one of them in memory.
    compressor = zlib.compressobj(level=9, wbits=31)
    megabyte = bytes(1024**2)
    return b"".join([compressor.compress(megabyte) for _ in range(BOMB_MEGABYTES)] + [compressor.flush()])
