"""The simulator's own API below `/_simulator/`: what tests and the curious ask and order over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from simulator.http_messages import Call, Reply, as_json
from simulator.log import Log
from simulator.records import Record
from simulator.scenarios import VOCABULARY
from simulator.signing import KeyName

PREFIX = "/_simulator"


class Controls(Protocol):
    """What can be ordered; the Simulator itself offers it."""

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
    def reset(self) -> None: ...


class Control:
    """`GET` reads, `POST` orders. What cannot be understood is a 400 with a sentence."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self._reads: Mapping[str, Callable[[Call], Any]] = {
            "log": self._whole_log,
            "scenarios": lambda call: [asdict(word) for word in VOCABULARY],
            "environment": lambda call: controls.environment(),
            "jwks": lambda call: {"fetches": controls.jwks_fetches},
            "callback_body": self._callback_body,
        }
        self._orders: Mapping[str, Callable[[dict[str, Any]], Any]] = {
            "script": lambda order: controls.script(*_scenarios(order), times=int(order.get("times", 1))),
            "always": lambda order: controls.always(*_scenarios(order)),
            "clear": lambda order: controls.clear(),
            "sign": self._sign,
            "finish": lambda order: {"finished": controls.finish(str(order["request_id"]))},
            "reprice": lambda order: controls.reprice(
                str(order["endpoint"]), str(order["dollars"]), str(order["unit"]) if "unit" in order else None
            ),
            "call_again": lambda order: controls.call_again(str(order["request_id"]), str(order.get("kind", "true"))),
            "rotate": lambda order: controls.rotate_keys(bool(order.get("keep_previous", True))),
            "jwks": lambda order: controls.jwks_mode(str(order["mode"])),
            "reset": lambda order: controls.reset(),
        }

    def read(self, call: Call, name: str) -> Reply:
        return self._do(name, self._reads.get(name), call)

    def order(self, call: Call, name: str) -> Reply:
        try:
            order = call.json() or {}
        except ValueError:
            return as_json({"detail": "The body must be JSON."}, 400)
        if not isinstance(order, dict):
            return as_json({"detail": "The body must be a JSON object."}, 400)
        return self._do(name, self._orders.get(name), order)

    def records(self, call: Call, name: str) -> Reply:
        """One part of the log: posts, accepted, callbacks, files, served or visits."""
        return self._do(name, self._parts().get(name), call)

    def _do(self, name: str, action: Callable[[Any], Any] | None, argument: Any) -> Reply:
        if action is None:
            return as_json({"detail": f"The simulator knows no “{name}”."}, 404)
        try:
            return as_json(action(argument) or {})
        except KeyError as error:
            return as_json({"detail": f"“{error.args[0]}” is missing."}, 400)
        except (ValueError, LookupError, TypeError, ArithmeticError) as error:
            return as_json({"detail": str(error)}, 400)

    def _parts(self) -> Mapping[str, Callable[[Call], Any]]:
        log = self._controls.log
        return {
            "posts": lambda call: _as_data(log.posts()),
            "accepted": lambda call: _as_data(log.accepted(call.query.get("endpoint"))),
            "callbacks": lambda call: _as_data(log.callbacks(call.query.get("request_id"))),
            "files": lambda call: _as_data(log.files(call.query.get("request_id"))),
            "served": lambda call: _as_data(log.served()),
            "visits": lambda call: _as_data(log.visits()),
        }

    def _whole_log(self, call: Call) -> dict[str, Any]:
        return {name: read(call) for name, read in self._parts().items()}

    def _callback_body(self, call: Call) -> dict[str, str]:
        return {"body": self._controls.callback_body(call.query["request_id"]).decode()}

    def _sign(self, order: dict[str, Any]) -> dict[str, str]:
        details = {name: order[name] for name in ("request_id", "user_id", "timestamp", "key") if name in order}
        return self._controls.sign(str(order["body"]).encode(), **details)


def _scenarios(order: dict[str, Any]) -> list[str]:
    scenarios = order["scenarios"]
    return [scenarios] if isinstance(scenarios, str) else [str(scenario) for scenario in scenarios]


def _as_data(records: Sequence[Record]) -> list[dict[str, Any]]:
    return [{name: _as_text(value) for name, value in asdict(record).items()} for record in records]


def _as_text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
