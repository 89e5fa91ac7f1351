"""The table of all scenarios: the one list that the parser, the index page and docs/simulator.md are made from.

`python -m simulator --words` prints it as Markdown. To add a scenario, add it here and handle it where its group is
handled: `job` in job_queue, `outcome` and `outputs` in outcomes, `submit` in submit_api and submit_faults, `status`,
`result` and `cancel` in status_api, `callback` in callback_sender and callback_faults, `cdn` in file_server and
file_faults, `bill` in billing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from simulator.error_types import ERRORS


@dataclass(frozen=True, kw_only=True)
class ScenarioType:
    """One scenario of the table."""

    name: str
    group: str
    sentence: str
    number: float | None = None
    """The default of a scenario that takes a number; None if it takes none."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Each choice with its description. The first one applies if none is named."""
    is_address: bool = False
    """Whether host:port may follow the colon."""


def _scenario(group: str, name: str, sentence: str, **details: Any) -> ScenarioType:
    return ScenarioType(name=name, group=group, sentence=sentence, **details)


REFUSALS = {
    "400": "Bad request.",
    "401": "The key is unknown.",
    "402": "Payment is required.",
    "403": "The account is locked because its balance is exhausted.",
    "404": "The model does not exist.",
    "408": "The request timed out at the gateway.",
    "409": "Conflict.",
    "422": "The input is refused at once.",
    "425": "Too early.",
    "429": "Too many requests, without Retry-After.",
    "429-retry-after": "Too many requests, with Retry-After: 1.",
    "500": "Internal server error, with x-fal-request-id.",
    "500-bare": "Internal server error, without x-fal-request-id.",
    "502": "HTML page of nginx, without x-fal-request-id.",
    "503": "Service unavailable, with x-fal-request-id.",
    "503-bare": "Service unavailable, without x-fal-request-id.",
    "503-nginx": "HTML page of nginx, without x-fal-request-id.",
    "504": "Gateway timeout, with x-fal-request-id.",
    "504-bare": "Gateway timeout, without x-fal-request-id.",
    "504-nginx": "HTML page of nginx, without x-fal-request-id.",
}
GARBAGE = {
    "json": "Truncated JSON.",
    "html": "An HTML page.",
    "no_request_id": "JSON without a request id.",
    "big": "Ten megabytes of JSON.",
    "wrong_host": "The URLs in the response name another host.",
    "other_request": "The URLs in the response are those of the request before.",
    "same_request_id": "The response names an earlier request whose callback was acknowledged, with its URLs.",
}
CALLBACKS = {
    "lost": "The callback is never sent.",
    "late": "The callback is sent after a minute.",
    "double": "The callback is sent twice at once.",
    "again_late": "The callback is sent, and once more a minute later.",
    "early": "The callback is sent before the response to the submission.",
    "forged": "Signed with a key that fal does not publish. The correct callback is never sent.",
    "wrong_account": "Correctly signed, for another fal customer. The correct callback is never sent.",
    "mismatch": "The signed header names another request than the body. The correct callback is never sent.",
    "stale": "Correctly signed, a thousand seconds ago. The correct callback is never sent.",
    "null_payload": "OK, with a null payload and a payload_error: the result must be fetched.",
    "error_null_payload": "ERROR, with a null payload and a payload_error.",
    "reordered": "Sent after the callback of the next request, or after 30 seconds.",
    "contradictory": "OK first, and ERROR a second later.",
    "garbage": "Correctly signed, but the body is not JSON. The correct callback is never sent.",
}
OUTPUTS = {
    "fewer": "One file less than ordered.",
    "more": "One file more than ordered.",
    "zero": "No file at all.",
    "evil_output_url": "The URL names another host.",
    "data_uri": "The file is in the answer itself, as a data: URL.",
    "large": "Each file has twelve megabytes more than it needs.",
    "no_size": "The answer states the size of no file.",
    "nested": "The files are one level deeper in the answer than documented.",
}
CDN = {
    "403": "Forbidden.",
    "404": "Not found.",
    "410": "Gone.",
    "429": "Too many requests, with Retry-After: 1.",
    "500": "Internal server error.",
    "503": "Service unavailable.",
    "truncated": "Half of the bytes, with the full Content-Length.",
    "cut_nolen": "Half of the bytes, without Content-Length. HEAD and Range tell the true length.",
    "nolen": "All bytes, without Content-Length. HEAD and Range tell the length.",
    "cut_untold": "Half of the bytes, without Content-Length. HEAD and Range are refused with 403.",
    "untold": "All bytes, without Content-Length. HEAD and Range are refused with 403.",
    "endless": "The body never ends.",
    "drip": "One byte every 0.3 seconds.",
    "html": "An HTML page with the content type image/png.",
    "bomb": "A hundred megabytes of zeros, compressed with gzip.",
    "redirect": "A redirect to another host.",
    "wrong_type": "The correct bytes with the content type text/html.",
    "huge": "A Content-Length of five gigabytes.",
    "expires": "The file is gone five seconds after the job completed.",
}
CANCELS = {
    "ok": "200: removed from the queue.",
    "completes_anyway": "202: cancellation requested, but the job runs to its end.",
    "cancelled": "202: cancellation requested, and the job stops half a second later.",
    "already_completed": "400: too late.",
    "404": "404: the request is unknown.",
}
BILLS = {
    "double": "The job costs twice the correct amount.",
    "missing": "The job is not on the bill.",
    "foreign": "The bill also names a request that this account never made.",
    "failed": "A failed job is billed like a successful one.",
}

SCENARIO_TYPES: tuple[ScenarioType, ...] = (
    _scenario("job", "slow", "The job runs for this number of seconds (20).", number=20),
    _scenario("job", "hold", "The job runs until `finish` is called for it."),
    _scenario("job", "queue", "This number of requests (8) is ahead in the queue; each takes a second.", number=8),
    _scenario(
        "outcome",
        "fail",
        "The job fails with one of fal's error types.",
        choices={name: f"HTTP {kind.status}: {kind.message}." for name, kind in ERRORS.items()},
    ),
    _scenario("outcome", "nsfw", "OK, with black images and has_nsfw_concepts true."),
    _scenario("submit", "status", "The submission is refused at once.", choices=REFUSALS),
    _scenario("submit", "drop_before_accept", "The connection is closed before fal accepts the job."),
    _scenario("submit", "drop_after_accept", "fal accepts the job and closes the connection without a response."),
    _scenario("submit", "hang_after_accept", "fal accepts the job and never responds."),
    _scenario("submit", "reset", "The connection is reset before fal accepts the job."),
    _scenario("submit", "slow_accept", "fal accepts the job after this number of seconds (30).", number=30),
    _scenario("submit", "drip", "The response arrives one byte every 0.3 seconds."),
    _scenario("submit", "garbage200", "fal accepts the job, but its response is unusable.", choices=GARBAGE),
    _scenario("submit", "redirect", "A redirect (307) to this host:port, or to the canary.", is_address=True),
    _scenario(
        "status",
        "poll",
        "A fault of the status URL.",
        choices={
            "404": "The request is unknown.",
            "500": "Internal server error.",
            "unknown": "An undocumented status.",
            "back_to_queue": "After IN_PROGRESS the status is IN_QUEUE once more.",
        },
    ),
    _scenario(
        "result",
        "result",
        "A fault of the result URL.",
        choices={
            "404": "The result is not found.",
            "410": "The result has expired.",
            "504": "The gateway times out once; the next attempt is answered.",
            "completed_with_error": "The job failed and no callback is sent: the status is COMPLETED with an error.",
        },
    ),
    _scenario("callback", "callback", "A fault of the callback.", choices=CALLBACKS),
    _scenario("outputs", "outputs", "The answer has other files than ordered.", choices=OUTPUTS),
    _scenario("cdn", "cdn", "A fault of the file server.", choices=CDN),
    _scenario("cancel", "cancel", "The response to a cancellation.", choices=CANCELS),
    _scenario("bill", "bill", "A fault of the bill.", choices=BILLS),
)


def as_html() -> str:
    """Return the table as a definition list."""
    entries = []
    for scenario_type in SCENARIO_TYPES:
        (name, sentence), *choices = _rows(scenario_type)
        entries.append(f"<dt><code>{name}</code> {escape(sentence)}</dt>")
        entries += [f"<dd><code>{written}</code> {escape(text)}</dd>" for written, text in choices]
    return f"<dl>{''.join(entries)}</dl>"


def as_markdown() -> str:
    """Return the table as docs/simulator.md shows it."""
    rows = [f"| `{written}` | {text} |" for each in SCENARIO_TYPES for written, text in _rows(each)]
    return "\n".join(["| scenario | what happens |", "|---|---|", *rows])


def _rows(scenario_type: ScenarioType) -> Iterator[tuple[str, str]]:
    """Yield the scenario and each of its choices as written, with their descriptions."""
    yield scenario_type.name, scenario_type.sentence
    for choice, sentence in scenario_type.choices.items():
        yield f"{scenario_type.name}:{choice}", sentence
