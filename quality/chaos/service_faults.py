"""Faults of what Limn depends on besides the database: the storage, fal, fal's files and fal's signing keys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from quality.chaos.fault_context import FaultContext, Faults
from quality.chaos.fault_kinds import CUT_FILES, UNSIZED

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>-</Message></Error>"
S3_ERRORS = {"503": "SlowDown", "403": "AccessDenied", "507": "InsufficientStorage"}


def disturb(context: FaultContext, service: str, mode: str, **details: object) -> None:
    """Set the mode of the proxy in front of a service for the duration of a fault."""
    proxy = context.environment.proxies[service]
    proxy.set_mode(mode, **{"seconds": 0.5, "bytes": context.rng.choice((0, 100, 2000)), **details})
    context.wait()
    proxy.set_mode("pass")


@dataclass
class ServiceFaults:
    """Faults of the storage and of fal."""

    context: FaultContext

    def faults(self) -> Faults:
        modes, environment = ("reset", "blackhole", "cut", "delay"), self.context.environment
        s3, fal = (partial(disturb, self.context, service) for service in ("S3", "fal"))
        return {
            **{f"S3 {mode}": partial(s3, mode) for mode in modes},
            "S3 slow": partial(s3, "delay", seconds=3),
            "S3 503": partial(s3, "respond", response=s3_error("503")),
            "S3 403": partial(s3, "respond", response=s3_error("403")),
            "S3 full": partial(s3, "respond", response=s3_error("507")),
            **{f"fal {mode}": partial(fal, mode) for mode in modes},
            "fal locks the account": self.lock_fal_account,
            "fal cuts files": lambda: self.request_always(self.context.rng.choice(CUT_FILES), UNSIZED),
            "JWKS down": partial(self.break_keys, "down"),
            "JWKS garbage": partial(self.break_keys, "garbage"),
            "JWKS rotated": partial(environment.control_simulator, "rotate", keep_previous=True),
            "JWKS rotated, old key removed": partial(environment.control_simulator, "rotate", keep_previous=False),
        }

    def break_keys(self, mode: str) -> None:
        """Make fal's signing keys unavailable or unreadable for the duration of a fault."""
        self.context.environment.control_simulator("jwks", mode=mode)
        self.context.wait()
        self.context.environment.control_simulator("jwks", mode="ok")

    def lock_fal_account(self) -> None:
        """Make fal refuse every submission, as it does while the account is locked or has no credit."""
        self.request_always(self.context.rng.choice(("status:403", "status:401", "status:402")))

    def request_always(self, *scenarios: str) -> None:
        """Apply scenarios to every submission that reaches fal during the fault."""
        self.context.environment.control_simulator("always", scenarios=scenarios)
        self.context.wait()
        self.context.environment.control_simulator("clear")


def s3_error(status: str) -> str:
    """Return a response of the storage that refuses a request."""
    body = ERROR.format(code=S3_ERRORS[status])
    return (
        f"HTTP/1.1 {status} -\r\nContent-Type: application/xml\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
