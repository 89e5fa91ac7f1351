"""HTTP requests to a process of Limn on this machine, without any proxy that the environment names.

`manage.py up`, the chaos test and the benchmarks use it to wait for a server and to read small responses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

_OPENER = build_opener(ProxyHandler({}))
_TIMEOUT_SECONDS = 5


def status(url: str, headers: Mapping[str, str] | None = None) -> int:
    """Return the HTTP status of the answer; 0 if there is none."""
    try:
        with _OPENER.open(Request(url, headers=dict(headers or {})), timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def read_json(url: str) -> Any:
    """Return the JSON of the answer; None if there is no answer yet."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    except OSError:
        return None
