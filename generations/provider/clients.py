"""fal's client, fal's public keys and the callback URL, made from the settings.

Workers, callbacks and commands take them from here. Each exists once for each process.
"""

from __future__ import annotations

import threading
from functools import lru_cache

from django.conf import settings

from database.time_scale import scaled
from generations.fal import FalClient, ProviderReceipt
from generations.fal.keys import REFETCH_SECONDS, KeySet
from generations.models import FalAccount, Submission

_clients: dict[tuple[str, str], FalClient] = {}
"""By key and queue URL."""
_lock = threading.Lock()


def fal() -> FalClient:
    """Return the client with FAL_KEY. One for each process: its threads share the connections."""
    return _client(settings.FAL_KEY, settings.FAL_QUEUE_URL)


def fal_admin() -> FalClient | None:
    """Return the client with FAL_ADMIN_KEY, which may read fal's bill and delete payloads. None without such a key."""
    return _client(settings.FAL_ADMIN_KEY, settings.FAL_QUEUE_URL) if settings.FAL_ADMIN_KEY else None


def receipt_of(submission: Submission) -> ProviderReceipt:
    """Return the receipt of an accepted submission. Stored URLs that are not those of its job are replaced.

    The table may have such URLs from a version of Limn that compared the host only, or from another FAL_QUEUE_URL.
    """
    stored = ProviderReceipt(
        request_id=submission.request_id or "",
        status_url=submission.status_url,
        response_url=submission.response_url,
        cancel_url=submission.cancel_url,
    )
    return fal().checked_receipt(submission.generation.endpoint, stored)


def keys() -> KeySet:
    """Return the public keys with which fal signs its callbacks."""
    return _keys(settings.FAL_JWKS_URL)


def callback_url(submission: Submission) -> str:
    """Return the URL to which fal reports on this submission.

    The token makes the URL a secret that fal and Limn share.
    """
    return f"{settings.SITE_URL}/hooks/fal/{submission.pk}/{submission.token}"


def fal_user_id() -> str | None:
    """Return the id of Limn's account at fal: FAL_USER_ID, or the one that was pinned; None if neither is known yet."""
    if settings.FAL_USER_ID:
        return settings.FAL_USER_ID
    pinned = FalAccount.objects.first()
    return pinned.user_id if pinned else None


def close() -> None:
    """Close the connections to fal and forget its keys: when the process ends, and between tests."""
    with _lock:
        for client in _clients.values():
            client.close()
        _clients.clear()
    _keys.cache_clear()


def _client(key: str, queue_url: str) -> FalClient:
    # Of two threads that need it first, one makes it: a client that another replaces would keep its connections open.
    with _lock:
        if (key, queue_url) not in _clients:
            _clients[key, queue_url] = FalClient(key=key, queue_url=queue_url)
        return _clients[key, queue_url]


@lru_cache(maxsize=4)
def _keys(url: str) -> KeySet:
    return KeySet(url=url, refetch_seconds=scaled(REFETCH_SECONDS))
