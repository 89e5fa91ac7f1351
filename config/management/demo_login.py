"""The user for trying Limn out: the same login and key at every start, for as long as they open something."""

from __future__ import annotations

import io
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from django.contrib.auth import authenticate
from django.core.management import call_command

from config.management import local_http

USERNAME = "demo"
CREDITS = 1000


@dataclass(frozen=True, kw_only=True)
class Login:
    username: str
    password: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}


def login(path: Path, site: str) -> Login:
    """The one that `path` remembers, or a new one, remembered there."""
    remembered = _remembered(path)
    return remembered if remembered and _opens(remembered, site) else _new(path)


def _remembered(path: Path) -> Login | None:
    try:
        return Login(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _opens(remembered: Login, site: str) -> bool:
    known = authenticate(username=remembered.username, password=remembered.password) is not None
    return known and local_http.status(f"{site}/api/v1/credits/", remembered.headers) == 200


def _new(path: Path) -> Login:
    answer = io.StringIO()
    call_command("demo_user", username=USERNAME, credits=CREDITS, json=True, stdout=answer)
    made = Login(**json.loads(answer.getvalue()))
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(made), file)
    return made
