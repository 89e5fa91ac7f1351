"""Slows down guessing of passwords: after several failures, a login with the same name from the same address must wait.

Attempts are counted for each pair of name and address, so an attacker cannot lock a user out from another address, and
for each address, so an attacker cannot try many names. Logins of customers and of staff share the counts.
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

# The type checker needs the base class of the mixin's methods; a real base would break the order of the two classes.
if TYPE_CHECKING:
    _Form = AuthenticationForm
else:
    _Form = object

logger = logging.getLogger(__name__)

# A user who has forgotten the password tries three or four; a program would try thousands.
NAME_RATE = Rate(per_minute=1, burst=5)
# Many people of one office share an address.
ADDRESS_RATE = Rate(per_minute=10, burst=50)


class LoginThrottleMixin(_Form):
    """A mixin for login forms. It counts failed attempts, and refuses an attempt that comes too early."""

    request: HttpRequest | None
    wait_seconds = 0
    """Seconds until the next attempt, if this one was refused for coming too early."""

    def clean(self) -> dict[str, Any]:
        name, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if self.request is None or not name or not password:
            return super().clean()
        address = client_address(self.request)
        rates = {
            _bucket_name("name", name.lower(), address): NAME_RATE,
            _bucket_name("address", address): ADDRESS_RATE,
        }
        # Counted before the password is checked, so that no more concurrent attempts pass than the rate allows.
        if wait := max(token_bucket.acquire(bucket, rate) for bucket, rate in rates.items()):
            self.wait_seconds = math.ceil(wait)
            logger.warning("too many failed logins", extra={"address": address})
            raise ValidationError(
                f"Too many attempts. Try again in {self.wait_seconds} seconds.", code="too_many_attempts"
            )
        cleaned = super().clean()
        # The password was right: only failures count.
        for bucket, rate in rates.items():
            token_bucket.give_back(bucket, rate)
        return cleaned


class LoginForm(LoginThrottleMixin, AuthenticationForm):
    """The login form of the pages."""


class AdminLoginForm(LoginThrottleMixin, AdminAuthenticationForm):
    """The login form of the admin."""


def client_address(request: HttpRequest) -> str:
    """Return the IP address of the client.

    A site with https has a proxy in front of it, which appends the address it saw to X-Forwarded-For. The client sent
    the entries before the last one, so they prove nothing.
    """
    forwarded = request.headers.get("X-Forwarded-For", "") if settings.SECURE_PROXY_SSL_HEADER else ""
    return forwarded.rpartition(",")[2].strip() or str(request.META.get("REMOTE_ADDR", ""))


def _bucket_name(*parts: str) -> str:
    # A digest, because people type anything in the field for their name, even a password.
    return f"login:{hashlib.sha256(repr(parts).encode(errors='surrogatepass')).hexdigest()}"
