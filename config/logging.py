"""The log format: one line for each event, `key=value` after the message. Prompts and secrets are never logged."""

from __future__ import annotations

import logging
import re
from typing import Any

# The attributes of every record. All others came as `extra` and are appended to the line.
_STANDARD_ATTRIBUTES = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "request",
    "server_time",
    "status_code",
}
# The token in a callback URL is a secret. Django logs the URL of every response with a status of 400 or more.
_TOKEN = re.compile(r"(/hooks/fal/[^/\s]+/)[^/\s]+")


class KeyValueFormatter(logging.Formatter):
    """Appends the `extra` of a record as key=value, and hides the tokens of callback URLs."""

    def format(self, record: logging.LogRecord) -> str:
        line = _TOKEN.sub(r"\1…", super().format(record))
        extras = {key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES}
        if not extras:
            return line
        first, *rest = line.split("\n")
        pairs = " ".join(f"{key}={value}" for key, value in sorted(extras.items()))
        return "\n".join([f"{first} {pairs}", *rest])


def logging_config(level: str) -> dict[str, Any]:
    """Return Django's LOGGING setting, with this level for all loggers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": KeyValueFormatter, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # These log URLs with their queries, and a signed URL is a secret.
            "urllib3": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "boto3": {"level": "WARNING"},
            "s3transfer": {"level": "WARNING"},
            "huey": {"level": "WARNING"},
        },
    }
