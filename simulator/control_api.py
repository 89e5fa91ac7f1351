"""The simulator's own API below `/_simulator/`: read the log, choose scenarios, finish jobs, sign, reset.

`GET` reads and `POST` changes; each name is documented in docs/simulator.md. It offers over HTTP what tests in the same
process call on `Simulator`. Errors are answered with 400 or 404 and a sentence in `detail`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from simulator.http_messages import HttpRequest, HttpResponse, json_response
from simulator.log import Log
from simulator.records import Record
from simulator.scenario_table import SCENARIO_TYPES
from simulator.signing import KeyName

PREFIX = "/_simulator"

Parameters = dict[str, Any]
"""The JSON object in the body of a POST."""


class Controls(Protocol):
    """The methods of `Simulator` that this API calls. A protocol, because app.py imports this module."""

    @property
    def log(self) -> Log: ...
    @property
    def jwks_fetches(self) -> int: ...
    def environment(self) -> dict[str, str]: ...
    def script(self, *scenarios: str, times: int = 1) -> None: ...
    def always(self, *scenarios: str) -> None: ...
    def clear(self) -> None: ...
    def sign(
        self,
        body: bytes,
        *,
        request_id: str,
        user_id: str | None = None,
        timestamp: int | None = None,
        key: KeyName = "current",
    ) -> dict[str, str]: ...
    def callback_body(self, request_id: str) -> bytes: ...
    def call_again(self, request_id: str, kind: str = "true") -> None: ...
    def finish(self, request_id: str) -> bool: ...
    def reprice(self, endpoint: str, dollars: str, unit: str | None = None) -> None: ...
    def rotate_keys(self, keep_previous: bool = True) -> None: ...
    def jwks_mode(self, mode: str) -> None: ...
    def age(self, seconds: float, webhook_url: str) -> None: ...
    def reset(self) -> None: ...


class ControlApi:
    """Handlers for `/_simulator/NAME` and `/_simulator/log/NAME`."""

    def __init__(self, controls: Controls) -> None:
        log = controls.log
        self._log_parts: Mapping[str, Callable[[HttpRequest], Any]] = {
            "posts": lambda _: _as_json(log.posts()),
            "accepted": lambda http_request: _as_json(log.accepted(http_request.query.get("endpoint"))),
            "callbacks": lambda http_request: _as_json(log.callbacks(http_request.query.get("request_id"))),
            "files": lambda http_request: _as_json(log.files(http_request.query.get("request_id"))),
            "served": lambda _: _as_json(log.served()),
            "visits": lambda _: _as_json(log.visits()),
        }
        self._reads: Mapping[str, Callable[[HttpRequest], Any]] = {
            "log": lambda http_request: {name: read(http_request) for name, read in self._log_parts.items()},
            "scenarios": lambda _: [asdict(scenario_type) for scenario_type in SCENARIO_TYPES],
            "environment": lambda _: controls.environment(),
            "jwks": lambda _: {"fetches": controls.jwks_fetches},
            "callback_body": lambda http_request: {
                "body": controls.callback_body(http_request.query["request_id"]).decode()
            },
        }
        self._commands: Mapping[str, Callable[[Parameters], Any]] = {
            "script": lambda p: controls.script(*_scenarios(p), times=int(p.get("times", 1))),
            "always": lambda p: controls.always(*_scenarios(p)),
            "clear": lambda _: controls.clear(),
            "sign": lambda p: controls.sign(
                str(p["body"]).encode(),
                **{name: p[name] for name in ("request_id", "user_id", "timestamp", "key") if name in p},
            ),
            "finish": lambda p: {"finished": controls.finish(str(p["request_id"]))},
            "reprice": lambda p: controls.reprice(
                str(p["endpoint"]), str(p["dollars"]), str(p["unit"]) if "unit" in p else None
            ),
            "call_again": lambda p: controls.call_again(str(p["request_id"]), str(p.get("kind", "true"))),
            "rotate": lambda p: controls.rotate_keys(bool(p.get("keep_previous", True))),
            "age": lambda p: controls.age(float(p["seconds"]), str(p["webhook_url"])),
            "jwks": lambda p: controls.jwks_mode(str(p["mode"])),
            "reset": lambda _: controls.reset(),
        }

    def read(self, http_request: HttpRequest, name: str) -> HttpResponse:
        """Handle `GET /_simulator/NAME`."""
        return self._call(name, self._reads.get(name), http_request)

    def read_log(self, http_request: HttpRequest, name: str) -> HttpResponse:
        """Handle `GET /_simulator/log/NAME`: one table of the log."""
        return self._call(name, self._log_parts.get(name), http_request)

    def command(self, http_request: HttpRequest, name: str) -> HttpResponse:
        """Handle `POST /_simulator/NAME`."""
        try:
            parameters = http_request.json() or {}
        except ValueError:
            return json_response({"detail": "The body must be JSON."}, 400)
        if not isinstance(parameters, dict):
            return json_response({"detail": "The body must be a JSON object."}, 400)
        return self._call(name, self._commands.get(name), parameters)

    def _call(self, name: str, function: Callable[[Any], Any] | None, argument: Any) -> HttpResponse:
        if function is None:
            return json_response({"detail": f"The simulator has no “{name}”."}, 404)
        try:
            return json_response(function(argument) or {})
        except KeyError as error:
            # A parameter that the command reads is not in the body or the query.
            return json_response({"detail": f"“{error.args[0]}” is missing."}, 400)
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            # What the parameters caused: an unknown scenario or request, a number that cannot be read.
            return json_response({"detail": str(error)}, 400)


def _scenarios(parameters: Parameters) -> list[str]:
    """Accept one text or a list of texts."""
    scenarios = parameters["scenarios"]
    return [scenarios] if isinstance(scenarios, str) else [str(scenario) for scenario in scenarios]


def _as_json(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return records as JSON objects; bodies as text."""
    return [
        {
            name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
            for name, value in asdict(record).items()
        }
        for record in records
    ]
