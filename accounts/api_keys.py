"""API keys: made once and shown once, found again by their digest, revoked at once.

The key of a request is known for as long as the request lasts (`in_use`), so that an order cannot forget to ask what
its key may, whichever view it comes through.
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
from django.utils import timezone

from accounts.models import ApiKey, Scope
from database import best_effort
from errors import DomainError

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# Tells a key of ours from any other secret, to a reader as to a scanner of leaked ones.
MARK = "limn_"
# The mark and seven characters: enough to recognise one's key, far too little to guess it.
PREFIX_CHARACTERS = 12
# "Last used" is for people; a write with every request would be for nobody.
LAST_USED_EVERY = timedelta(minutes=1)

_of_this_request: ContextVar[ApiKey | None] = ContextVar("api_key", default=None)


class TooStrong(DomainError):
    """The new or changed key would be allowed more than the key that asks for it."""

    code, status, title = "not_allowed", 403, "Permission denied"


class Issued(NamedTuple):
    key: ApiKey
    plain: str
    """What the customer sends. Nobody can show it again."""


@dataclass(frozen=True, kw_only=True)
class Rights:
    """What a key may."""

    scopes: frozenset[str] = frozenset(Scope)
    expires_at: datetime | None = None
    credits_max: int | None = None
    models: frozenset[str] = frozenset()
    """Empty: all."""

    @classmethod
    def of(cls, key: ApiKey) -> Rights:
        return cls(
            scopes=frozenset(key.scopes),
            expires_at=key.expires_at,
            credits_max=key.credits_max,
            models=frozenset(key.model_slugs),
        )

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "scopes": sorted(self.scopes),
            "expires_at": self.expires_at,
            "credits_max": self.credits_max,
            "model_slugs": sorted(self.models),
        }

    def within(self, other: Rights) -> bool:
        """Whether whoever has `other` has all this too."""
        return (
            self.scopes <= other.scopes
            and (not other.models or (bool(self.models) and self.models <= other.models))
            and (other.expires_at is None or (self.expires_at is not None and self.expires_at <= other.expires_at))
            and (other.credits_max is None or (self.credits_max is not None and self.credits_max <= other.credits_max))
        )


EVERYTHING = Rights()


def issue(user: User, name: str, *, rights: Rights = EVERYTHING, by: ApiKey | None = None) -> Issued:
    """A new key; `by` is the key that asks for it, if it is a key that asks. Raises TooStrong."""
    _require_within(rights, by)
    plain = MARK + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        user=user, name=name, prefix=plain[:PREFIX_CHARACTERS], digest=_digest(plain), **rights.columns
    )
    return Issued(key, plain)


def change(key: ApiKey, *, name: str | None = None, by: ApiKey | None = None, **rights: Any) -> None:
    """Give it another name, or other rights by the names of `Rights`. Raises TooStrong."""
    before = Rights.of(key)
    after = replace(before, **rights)
    # To take something away from a key is anybody's who may manage keys.
    if not after.within(before):
        _require_within(after, by)
    key.name = key.name if name is None else name
    for column, value in after.columns.items():
        setattr(key, column, value)
    key.save(update_fields=["name", *after.columns])


def _require_within(rights: Rights, by: ApiKey | None) -> None:
    if by is None:
        return
    if by.credits_max is not None:
        # Each could spend as much again.
        raise TooStrong("A key with a cap on its credits makes no other keys, and none stronger. Use your login.")
    if not rights.within(Rights.of(by)):
        raise TooStrong("A key makes no key that may more than itself: in scopes, models, or time. Use your login.")


def find(plain: str) -> ApiKey | None:
    """The usable key that these characters are. Its use is noted, at most once a minute."""
    found = ApiKey.objects.usable().select_related("user__account__limits").filter(digest=_digest(plain))
    key = found.first()
    if key is not None:
        _note_use(key)
    return key


def revoke(key: ApiKey) -> bool:
    """It opens nothing from now on. False when it already did not."""
    return ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()) == 1


def in_use() -> ApiKey | None:
    """The key with which this very request came, if it came with one."""
    return _of_this_request.get()


def may_erase(api_key_id: int | None) -> bool:
    """Whether the key in use may erase what was ordered with the key `api_key_id` (None: ordered without a key).

    A key without the scope `manage` erases only what was ordered with itself.
    """
    key = in_use()
    return key is None or Scope.MANAGE in key.scopes or api_key_id == key.pk


def use(key: ApiKey) -> None:
    """From here to the end of the request, everything is done with this key."""
    _of_this_request.set(key)


@receiver([request_started, request_finished])
def _forget(**kwargs: Any) -> None:
    # Threads serve one request after the other.
    _of_this_request.set(None)


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    before = now - LAST_USED_EVERY
    if key.last_used_at is None or key.last_used_at < before:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=before)
        rows = ApiKey.objects.filter(stale, pk=key.pk)
        best_effort.try_write(lambda: rows.update(last_used_at=now), default=0)


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
