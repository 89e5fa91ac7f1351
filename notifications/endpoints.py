"""Webhook endpoints of customers, their signing secrets, and the notification settings of an account.

The API and the pages create, change, disable and remove endpoints here; `payloads` asks for the secrets that sign a
message. Everything else of an endpoint (failures, deactivation) is written by `outbox`.

    EndpointError              the request was refused, and nothing was changed
    ├── NoThreshold            `credits.low` was chosen without `credits_low_at`
    ├── TooManyEndpoints       the account has ENDPOINTS_MAX endpoints
    └── EndpointDisabled       nothing can be sent to it, because it is disabled or removed

A URL that webhooks may not be sent to raises `recipients.BadAddress`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from credits.models import Account
from database import clock
from database.ids import new_token
from generations.errors import DomainError
from generations.safe_http import recipients
from notifications.models import SecretHolder, Subscriber, WebhookEndpoint, WebhookType

# Enough for every program of a customer, and a bound on the number of messages that one generation causes.
ENDPOINTS_MAX = 20
# How long both secrets sign after a rotation: receivers have this time to install the new one.
ROTATION_OVERLAP = timedelta(hours=24)
DEFAULT_TYPES = (WebhookType.COMPLETED, WebhookType.FAILED)
SUBSCRIBABLE = (*DEFAULT_TYPES, WebhookType.PROGRESSED, WebhookType.CREDITS_LOW)

Holder = TypeVar("Holder", bound=SecretHolder)


class EndpointError(DomainError):
    """The request was refused, and nothing was changed."""


class NoThreshold(EndpointError):
    """The type `credits.low` was chosen without a threshold."""

    code, status, title = "invalid_input", 422, "Invalid input"
    default_detail = "The type credits.low requires credits_low_at."

    def __init__(self) -> None:
        error = {"loc": ["credits_low_at"], "msg": self.default_detail, "type": "missing"}
        super().__init__(errors=[error])


class TooManyEndpoints(EndpointError):
    """The account has as many endpoints as it may have."""

    code, status, title = "too_many_endpoints", 409, "Too many webhook endpoints"


class EndpointDisabled(EndpointError):
    """The endpoint is disabled or removed, so nothing can be sent to it."""

    code, status, title = "endpoint_off", 409, "Webhook endpoint disabled"


# --- Endpoints ----------------------------------------------------------------------------------------------------


def subscriber_of(account: Account) -> Subscriber:
    """Return the notification settings of an account. They are created with their defaults on first use."""
    return Subscriber.objects.get_or_create(account=account)[0]


@transaction.atomic
def create(
    account: Account,
    url: str,
    *,
    types: Sequence[str] = DEFAULT_TYPES,
    credits_low_at: int | None = None,
    description: str = "",
) -> WebhookEndpoint:
    """Create an endpoint, which receives the events that happen from now on.

    Args:
        types: Values of SUBSCRIBABLE.
        credits_low_at: The threshold of `credits.low`, in credits. Required for that type.

    Raises:
        BadAddress: Webhooks may not be sent to the URL.
        NoThreshold: The threshold of `credits.low` is missing.
        TooManyEndpoints: The account has ENDPOINTS_MAX endpoints.
    """
    recipients.check(url)
    _require_threshold(types, credits_low_at)
    # The outbox looks for endpoints only where an account has this row.
    subscriber_of(account)
    # The lock lets concurrent requests count one after another, so that they cannot exceed the limit together.
    account = Account.objects.select_for_update(no_key=True).get(pk=account.pk)
    if account.webhook_endpoints.filter(deleted_at=None).count() >= ENDPOINTS_MAX:
        raise TooManyEndpoints(f"You have {ENDPOINTS_MAX} endpoints. Remove one that you no longer need.")
    return WebhookEndpoint.objects.create(
        account=account,
        url=url,
        types=list(types),
        description=description,
        credits_low_at=credits_low_at,
        is_low=_is_low(account, credits_low_at),
    )


@transaction.atomic
def update(endpoint: WebhookEndpoint, **changes: object) -> WebhookEndpoint:
    """Change `url`, `types`, `description` or `credits_low_at`; what is not named stays.

    Raises:
        BadAddress: Webhooks may not be sent to the new URL.
        NoThreshold: Afterwards, the threshold of `credits.low` would be missing.
    """
    if "url" in changes:
        recipients.check(str(changes["url"]))
    account = Account.objects.select_for_update(no_key=True).get(pk=endpoint.account_id)
    # Under the lock, because a concurrent request may have changed the types or the threshold.
    endpoint.refresh_from_db()
    _require_threshold(changes.get("types", endpoint.types), changes.get("credits_low_at", endpoint.credits_low_at))
    if "credits_low_at" in changes:
        # A new threshold is not a crossing: an account that is below it already has not just fallen below it.
        changes["is_low"] = _is_low(account, changes["credits_low_at"])
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changes)
    endpoint.refresh_from_db()
    return endpoint


def _require_threshold(types: object, threshold: object) -> None:
    if isinstance(types, Sequence) and WebhookType.CREDITS_LOW in types and threshold is None:
        raise NoThreshold


def _is_low(account: Account, threshold: object) -> bool:
    return isinstance(threshold, int) and account.available < threshold


def disable(endpoint: WebhookEndpoint, reason: str) -> bool:
    """Stop sending to the endpoint. Its pending deliveries are given up when they become due.

    Returns:
        False if it was disabled already.
    """
    enabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
    return enabled.update(disabled_at=Now(), disabled_because=reason[:200]) == 1


def enable(endpoint: WebhookEndpoint) -> bool:
    """Send to the endpoint again, about the events that happen from now on. False if it was enabled already."""
    disabled = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at__isnull=False)
    return disabled.update(disabled_at=None, disabled_because="", failing_since=None) == 1


def remove(endpoint: WebhookEndpoint) -> bool:
    """Hide the endpoint from its owner and destroy its secret. False if it was removed already.

    The row stays: its deliveries refer to it, and so may an event that is recorded at this moment.
    """
    present = WebhookEndpoint.objects.filter(pk=endpoint.pk, deleted_at=None)
    return present.update(deleted_at=Now(), salt=new_token(), previous_salt="", previous_until=None) == 1


def require_enabled(endpoint: WebhookEndpoint | None) -> None:
    """Raise EndpointDisabled if nothing can be sent to the endpoint. None stands for the URL of an order."""
    if endpoint is not None and not endpoint.is_enabled:
        raise EndpointDisabled("This endpoint is switched off or removed. Switch it on first.")


# --- Secrets ------------------------------------------------------------------------------------------------------


def current_secret(holder: SecretHolder) -> str:
    """Return the secret that signs now, in the form that receivers use: `whsec_…`. Show it once, when it is created."""
    return _derive_secret(holder.salt, settings.SECRET_KEY)


def signing_secrets(holder: SecretHolder, *, now: datetime | None = None) -> list[str]:
    """Return every secret that a message is signed with: after a rotation, the previous one as well."""
    salts = [holder.salt]
    if holder.previous_salt and holder.previous_until and holder.previous_until > (now or clock.now()):
        salts.append(holder.previous_salt)
    # An operator who changes SECRET_KEY keeps the old one as a fallback for a while. Receivers need that time too.
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [_derive_secret(salt, key) for salt in salts for key in keys]


def rotate_secret(holder: Holder) -> str:
    """Create a new secret and return it. For ROTATION_OVERLAP, messages are signed with the previous one as well."""
    until = clock.now() + ROTATION_OVERLAP
    salt = new_token()
    # F("salt"): the stored salt, even if a concurrent rotation has changed it since `holder` was read.
    rows = type(holder)._default_manager.filter(pk=holder.pk)
    rows.update(previous_salt=F("salt"), previous_until=until, salt=salt)
    holder.refresh_from_db()
    return _derive_secret(salt, settings.SECRET_KEY)


def _derive_secret(salt: str, key: str | bytes) -> str:
    # Derived from both, so neither a copy of the database nor SECRET_KEY alone can sign a message.
    digest = salted_hmac("notifications.webhooks", salt, secret=key, algorithm="sha256").digest()
    return f"whsec_{base64.b64encode(digest).decode()}"
