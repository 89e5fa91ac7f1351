"""The login of the demo user, for `make run`: the same at every start, as long as it works."""

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
    """Return the login that the file at `path` holds. If it does not work any more, a new one is created there."""
    try:
        stored = Login(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return _create(path)
    password_works = authenticate(username=stored.username, password=stored.password) is not None
    key_works = password_works and local_http.status(f"{site}/api/v1/credits/", stored.headers) == 200
    return stored if key_works else _create(path)


def _create(path: Path) -> Login:
    output = io.StringIO()
    call_command("demo_user", username=USERNAME, credits=CREDITS, json=True, stdout=output)
    created = Login(**json.loads(output.getvalue()))
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(created), file)
    return created
