"""How Limn logs: one line an event, `key=value` behind the sentence. Prompts and secrets never go there."""

from __future__ import annotations

import logging
import re
from typing import Any

# What every record has by itself; the rest came in as `extra` and belongs on the line.
_ORDINARY = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "request",
    "server_time",
    "status_code",
}
# The address of a callback is half of its proof. Django names addresses when it logs an answer of 400 and more.
_TOKEN = re.compile(r"(/hooks/fal/[^/\s]+/)[^/\s]+")


class KeyValueFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = _TOKEN.sub(r"\1…", super().format(record))
        extras = {key: value for key, value in vars(record).items() if key not in _ORDINARY}
        if not extras:
            return line
        first, *rest = line.split("\n")
        pairs = " ".join(f"{key}={value}" for key, value in sorted(extras.items()))
        return "\n".join([f"{first} {pairs}", *rest])


def logging_config(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": KeyValueFormatter, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Both log addresses with their queries, and a signed URL is a secret.
            "urllib3": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "boto3": {"level": "WARNING"},
            "s3transfer": {"level": "WARNING"},
            "huey": {"level": "WARNING"},
        },
    }
