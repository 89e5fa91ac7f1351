"""Guessing passwords takes time: after several failures of one name from one address, its next try has to wait.

Nobody can lock somebody else out: another address has tries of its own. And one address that tries many names runs
out of tries as well.
"""

from __future__ import annotations

import hashlib
import logging
import math
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from accounts import token_bucket
from accounts.token_bucket import Rate

# What `Patient` is mixed into. A class of its own could not stand before both of Django's.
if TYPE_CHECKING:
    _Form = AuthenticationForm
else:
    _Form = object

logger = logging.getLogger(__name__)

# Whoever has forgotten his password tries three or four; a program would try thousands.
OF_NAME = Rate(per_minute=1, burst=5)
# An office behind one address has many people in it.
OF_ADDRESS = Rate(per_minute=10, burst=50)
TOO_MANY = "too_many_attempts"


class Patient(_Form):
    """For a login form: each try is counted before it is judged, and a good one is not counted after all."""

    request: HttpRequest | None
    wait_seconds = 0
    """How long until the next try, when there were too many."""

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or not name or not password:
            return super().clean()
        tries = _tries(name, address_of(self.request))
        # Before the password is looked at: of many tries at once, all are counted.
        if wait := max(token_bucket.acquire(bucket, rate) for bucket, rate in tries.items()):
            self.wait_seconds = math.ceil(wait)
            logger.warning("too many failed logins", extra={"address": address_of(self.request)})
            raise ValidationError(f"Too many attempts. Try again in {self.wait_seconds} seconds.", code=TOO_MANY)
        cleaned = super().clean()
        for bucket, rate in tries.items():
            token_bucket.give_back(bucket, rate)
        return cleaned


class LoginForm(Patient, AuthenticationForm):
    """For customers."""


class AdminLoginForm(Patient, AdminAuthenticationForm):
    """For staff."""


def address_of(request: HttpRequest) -> str:
    """Where it came from. On an https site there is a proxy in front, and the last address is what it has seen."""
    seen = request.headers.get("X-Forwarded-For", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return seen.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR", ""))


def _tries(name: str, address: str) -> dict[str, Rate]:
    """Under a digest: what people type for a name may be anything, a password among it."""
    return {_bucket("name", name.lower(), address): OF_NAME, _bucket("address", address): OF_ADDRESS}


def _bucket(*words: str) -> str:
    return f"login:{hashlib.sha256(repr(words).encode(errors='surrogatepass')).hexdigest()}"
