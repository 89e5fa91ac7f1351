"""The responses of the submit API when something goes wrong: refusals, and unusable answers to accepted jobs.

The submit API calls these for the scenarios of the group `submit`. Whether the job was accepted is decided there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from simulator.error_types import ACCOUNT_LOCKED
from simulator.http_messages import HttpResponse, Sender, json_response
from simulator.response_faults import drip, drop, hang, reset
from simulator.scenarios import Plan

NGINX_PAGE = (
    b"<html>\r\n<head><title>%(title)s</title></head>\r\n<body>\r\n<center><h1>%(title)s</h1></center>\r\n"
    b"<hr><center>nginx/1.27.4</center>\r\n</body>\r\n</html>\r\n"
)
NGINX_TITLES = {502: b"502 Bad Gateway", 503: b"503 Service Temporarily Unavailable", 504: b"504 Gateway Time-out"}
BIG_BYTES = 10_000_000

DETAILS: Mapping[int, str] = {
    400: "Bad request",
    401: "invalid key credentials",
    402: "Payment required",
    403: ACCOUNT_LOCKED,
    404: "Application not found",
    408: "Request timeout",
    409: "Conflict",
    425: "Too early",
    429: "Too many requests",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
}
# Scenarios that end the connection before the job is accepted, with the outcome that is logged.
BEFORE_ACCEPT: Mapping[str, tuple[str, Sender]] = {"drop_before_accept": ("dropped", drop), "reset": ("reset", reset)}
# Scenarios that spoil the response to a job that was accepted.
AFTER_ACCEPT: Mapping[str, Sender] = {"drop_after_accept": drop, "hang_after_accept": hang, "drip": drip}


def refusal(choice: str) -> HttpResponse:
    """Return the response of a `status` scenario: `503`, `503-bare`, `503-nginx`, `429-retry-after`."""
    code, _, variant = choice.partition("-")
    status = int(code)
    if variant == "nginx" or choice == "502":
        page = NGINX_PAGE % {b"title": NGINX_TITLES[status]}
        return HttpResponse(status=status, headers={"Content-Type": "text/html"}, body=page)
    if status == 422:
        entry = {"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}
        return json_response({"detail": [entry]}, 422)
    headers = {"Retry-After": "1"} if variant == "retry-after" else {}
    # A 5xx without this header may come from a proxy in front of fal, and clients may repeat the request.
    if status >= 500 and variant != "bare":
        headers["x-fal-request-id"] = secrets.token_hex(16)
    return json_response({"detail": DETAILS[status]}, status, headers)


def spoil_acceptance(
    response: HttpResponse, plan: Plan, *, base_url: str, wrong_url: str, other_job_url: str
) -> HttpResponse:
    """Apply the faults of a plan to the response to an accepted submission.

    Args:
        wrong_url: Replaces `base_url` in the URLs of the response in the scenario `garbage200:wrong_host`.
        other_job_url: Replaces the URL of the job in the scenarios `garbage200:other_request` and, with its request id,
            `garbage200:same_request_id`.
    """
    garbage = plan.get("garbage200")
    if garbage is not None:
        body: dict[str, Any] = json.loads(response.body)
        if garbage.choice == "json":
            # Without the other headers: x-fal-request-id would tell the client what the body does not.
            half = response.body[: len(response.body) // 2]
            response = HttpResponse(headers={"Content-Type": "application/json"}, body=half)
        elif garbage.choice == "html":
            page = b"<!doctype html><h1>Welcome to fal</h1>"
            response = HttpResponse(headers={"Content-Type": "text/html"}, body=page)
        elif garbage.choice == "no_request_id":
            response = json_response({name: value for name, value in body.items() if name != "request_id"})
        elif garbage.choice == "big":
            response = json_response({**body, "padding": "0" * BIG_BYTES})
        else:
            is_wrong_host = garbage.choice == "wrong_host"
            old, new = (base_url, wrong_url) if is_wrong_host else (body["response_url"], other_job_url)
            changes = {name: str(body[name]).replace(old, new) for name in body if "url" in name}
            if garbage.choice == "same_request_id":
                changes["request_id"] = other_job_url.rpartition("/")[2]
            response = json_response({**body, **changes})
    senders = [AFTER_ACCEPT[scenario.name] for scenario in plan.scenarios if scenario.name in AFTER_ACCEPT]
    return replace(response, send=senders[0]) if senders else response
