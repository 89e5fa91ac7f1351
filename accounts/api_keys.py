"""API keys: issues, changes and revokes them, and knows which key the current request uses.

A key is shown once, when it is issued; the database has its SHA-256 only. `generations.http.authentication` finds the
key of a request and sets it as the current one. It stays set until the request ends, so orders and erasures check what
the key may do, whichever view they come from.
"""

from __future__ import annotations

import hashlib
import secrets
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.signals import request_finished, request_started
from django.db.models import Q
from django.dispatch import receiver

from accounts import statements
from accounts.models import ApiKey, Scope
from database import best_effort, clock
from errors import DomainError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# Every key starts with it, so that people and scanners for leaked secrets recognise a key of Limn.
KEY_START = "limn_"
# How much of a key is stored and shown. `limn_` and seven characters tell its owner which key it is; the rest, 36
# characters, cannot be guessed.
PREFIX_CHARACTERS = 12
# "Last used" is read by people. Writing it with every request would turn each read into a write.
LAST_USED_INTERVAL = timedelta(minutes=1)

_current: ContextVar[ApiKey | None] = ContextVar("current_api_key", default=None)


class RightsExceeded(DomainError):
    """The request would give a key rights that the key of the request does not have."""

    code, status, title = "not_allowed", 403, "Permission denied"


class Issued(NamedTuple):
    """A new key, and the text that its owner sends with each request. The text cannot be shown again."""

    key: ApiKey
    plain: str


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a key may do. The default is everything, for ever."""

    scopes: frozenset[str] = frozenset(Scope)
    expires_at: datetime | None = None
    """None: never."""
    credits_max: int | None = None
    """Credits that may be spent with the key in its lifetime. None: no limit."""
    models: frozenset[str] = frozenset()
    """Slugs of the models that may be ordered. Empty: all."""

    @classmethod
    def of(cls, key: ApiKey) -> Rights:
        """Return the rights that are stored with a key."""
        return cls(
            scopes=frozenset(key.scopes),
            expires_at=key.expires_at,
            credits_max=key.credits_max,
            models=frozenset(key.model_slugs),
        )

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of ApiKey that store these rights."""
        return {
            "scopes": sorted(self.scopes),
            "expires_at": self.expires_at,
            "credits_max": self.credits_max,
            "model_slugs": sorted(self.models),
        }

    def within(self, other: Rights) -> bool:
        """Return whether `other` includes all of these rights. An unlimited right is within an unlimited one only."""
        return (
            self.scopes <= other.scopes
            and (not other.models or (bool(self.models) and self.models <= other.models))
            and (other.expires_at is None or (self.expires_at is not None and self.expires_at <= other.expires_at))
            and (other.credits_max is None or (self.credits_max is not None and self.credits_max <= other.credits_max))
        )


ALL_RIGHTS = Rights()


# --- Issuing, changing and revoking ---


def issue(user: User, name: str, *, rights: Rights = ALL_RIGHTS, by: ApiKey | None = None) -> Issued:
    """Create a key.

    Args:
        user: Whom the key authenticates.
        name: A label for its owner.
        rights: What the key may do.
        by: The key with which the request for a new key came. None: a person is logged in.

    Raises:
        RightsExceeded: `by` may not issue a key with these rights.
    """
    _require_within(rights, by)
    plain = KEY_START + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user, name=name, prefix=plain[:PREFIX_CHARACTERS], digest=digest(plain), **rights.columns
    )
    return Issued(key, plain)


def change(key: ApiKey, *, name: str | None = None, by: ApiKey | None = None, **rights: Any) -> None:
    """Change a key's name, and those rights that are given by their names in `Rights`.

    Raises:
        RightsExceeded: The key would gain rights that `by` lacks.
    """
    before = Rights.of(key)
    after = replace(before, **rights)
    # Taking rights away needs no rights: a key that manages keys may limit even a key with more rights.
    if not after.within(before):
        _require_within(after, by)
    key.name = key.name if name is None else name
    for column, value in after.columns.items():
        setattr(key, column, value)
    key.save(update_fields=["name", *after.columns])


def revoke(key: ApiKey) -> bool:
    """Revoke a key at once. Returns False if it was revoked before; it then keeps the time of its revocation."""
    return ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=clock.now()) == 1


# --- The key of a request ---


def digest(plain: str) -> str:
    """Return the hash under which a key is stored."""
    # A plain hash, not a slow password hash: 256 random bits cannot be found by trying.
    return hashlib.sha256(plain.encode()).hexdigest()


def find(plain: str) -> ApiKey | None:
    """Return the key with this text if it is usable, and record that it was used.

    Its user, the user's account and the account's limits are in hand.
    """
    found = statements.find_key(digest(plain))
    if found is None:
        return None
    record_use(found.key)
    return found.key


def record_use(key: ApiKey) -> None:
    """Record that a request came with this key, at most once per LAST_USED_INTERVAL."""
    now = clock.now()
    before = now - LAST_USED_INTERVAL
    if key.last_used_at is None or key.last_used_at < before:
        # The condition once more: of concurrent requests with one key, one writes.
        stale = ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=before), pk=key.pk)
        best_effort.try_write(lambda: stale.update(last_used_at=now), default=0)


def set_current(key: ApiKey) -> None:
    """Make `key` the key of the current request, until the request ends."""
    _current.set(key)


def current() -> ApiKey | None:
    """Return the key of the current request. None: the request came with a session, or there is no request."""
    return _current.get()


@receiver([request_started, request_finished])
def clear_current(**kwargs: Any) -> None:
    """Forget the key. A thread serves one request after the other, and the next must not inherit the key."""
    _current.set(None)


def may_erase(api_key_id: int | None) -> bool:
    """Return whether the current request may erase what was ordered with a key (None: ordered without a key).

    A key without the scope `manage` may erase only what was ordered with the key itself.
    """
    key = current()
    return key is None or Scope.MANAGE in key.scopes or api_key_id == key.pk


def _require_within(rights: Rights, by: ApiKey | None) -> None:
    if by is None:
        return
    if by.credits_max is not None:
        # Every key has its own cap: with a second key of the same rights, twice the cap could be spent.
        raise RightsExceeded("A key with a credit cap cannot issue keys or extend their rights. Log in instead.")
    if not rights.within(Rights.of(by)):
        raise RightsExceeded(
            "A key cannot give another key scopes, models or a lifetime that it does not have itself. Log in instead."
        )
