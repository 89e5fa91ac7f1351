"""fal's client and keys, and our address for its callbacks, made from the settings."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from generations.fal import FalClient
from generations.fal.keys import KeySet
from generations.models import FalAccount, Submission


def fal() -> FalClient:
    """One client a process: its connections are shared by all threads."""
    return _client(settings.FAL_KEY, settings.FAL_QUEUE_URL)


def fal_admin() -> FalClient | None:
    """With the key that sees fal's bill; None where there is none."""
    return _client(settings.FAL_ADMIN_KEY, settings.FAL_QUEUE_URL) if settings.FAL_ADMIN_KEY else None


def keys() -> KeySet:
    return _keys(settings.FAL_JWKS_URL)


def callback_url(submission: Submission) -> str:
    """Where fal reports on this attempt. The token makes the address a secret between fal and us."""
    return f"{settings.SITE_URL}/hooks/fal/{submission.pk}/{submission.token}"


def fal_user_id() -> str | None:
    """Our account at fal: from the settings, else the one that proved to be ours, else not known yet."""
    if settings.FAL_USER_ID:
        return settings.FAL_USER_ID
    pinned = FalAccount.objects.first()
    return pinned.user_id if pinned else None


def close() -> None:
    """Let the connections go, at the end of a process that wants to end tidily."""
    if _client.cache_info().currsize:
        for client in (fal(), fal_admin()):
            if client is not None:
                client.close()
    _client.cache_clear()


@lru_cache(maxsize=4)
def _client(key: str, queue_url: str) -> FalClient:
    return FalClient(key=key, queue_url=queue_url)


@lru_cache(maxsize=4)
def _keys(url: str) -> KeySet:
    return KeySet(url=url)
