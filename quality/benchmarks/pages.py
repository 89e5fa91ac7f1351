"""Logs in to Limn's pages over HTTP, as a browser does."""

from __future__ import annotations

import re
from urllib.parse import urlencode

from quality.benchmarks import http_load


def log_in(port: int, username: str, password: str) -> str:
    """Return the value of the Cookie header with which the pages of this user can be read."""
    first = http_load.closed_loop(port, [http_load.request("GET", "/login/", {})], connections=1)
    token = _cookie(first.head, "csrftoken")
    form = urlencode({"csrfmiddlewaretoken": token, "username": username, "password": password}).encode()
    headers = {"Cookie": f"csrftoken={token}"}
    message = http_load.request("POST", "/login/", headers, form, content_type="application/x-www-form-urlencoded")
    answer = http_load.closed_loop(port, [message], connections=1, expected=(302,))
    return f"sessionid={_cookie(answer.head, 'sessionid')}"


def _cookie(head: bytes, name: str) -> str:
    found = re.search(rf"(?i)\r\nset-cookie: *{name}=([^;\r]+)".encode(), head)
    if found is None:
        raise http_load.LoadError(f"the response sets no cookie {name}")
    return found[1].decode()
