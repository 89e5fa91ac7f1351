"""Where customers want to be told: endpoints made, changed and switched off; secrets made, shown once and rotated.

EndpointError
├── BadAddress         webhooks may not go there: the customer names another
├── NoThreshold        credits.low was asked for, and not below what
├── TooManyEndpoints   somebody has as many as anybody may have
└── EndpointOff        it is switched off, so nothing can be sent to it
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
from django.utils import timezone
from django.utils.crypto import salted_hmac

from credits.models import Account
from database.ids import new_token
from errors import DomainError
from generations.safe_http import recipients
from notifications.models import Signing, Subscriber, WebhookDelivery, WebhookEndpoint, WebhookType

# Enough for every program of a customer, and a bound on what one order may send.
ENDPOINTS_MAX = 20
# What receivers need to take up a new secret without missing a message.
BOTH_SECRETS_FOR = timedelta(hours=24)
DEFAULT_TYPES = (WebhookType.COMPLETED, WebhookType.FAILED)
SUBSCRIBABLE = (*DEFAULT_TYPES, WebhookType.PROGRESSED, WebhookType.CREDITS_LOW)

Signed = TypeVar("Signed", bound=Signing)


class EndpointError(DomainError):
    """Nothing was changed."""


class NoThreshold(EndpointError):
    """The type `credits.low` was chosen without a threshold."""

    code, status, title = "invalid_input", 422, "Invalid input"
    default_detail = "credits.low needs credits_low_at: below how many credits?"

    def __init__(self) -> None:
        error = {"loc": ["credits_low_at"], "msg": self.default_detail, "type": "missing"}
        super().__init__(errors=[error])


class TooManyEndpoints(EndpointError):
    """The account has as many endpoints as it may have."""

    code, status, title = "too_many_endpoints", 409, "Too many webhook endpoints"


class EndpointOff(EndpointError):
    """The endpoint is disabled or deleted, so nothing can be sent to it."""

    code, status, title = "endpoint_off", 409, "Webhook endpoint disabled"


# --- Endpoints ----------------------------------------------------------------------------------------------------


def of(account: Account) -> Subscriber:
    """The customer as one who wants to hear something."""
    return Subscriber.objects.get_or_create(account=account)[0]


@transaction.atomic
def add(
    account: Account,
    url: str,
    *,
    types: Sequence[str] = DEFAULT_TYPES,
    credits_low_at: int | None = None,
    description: str = "",
) -> WebhookEndpoint:
    """A new endpoint, which hears of everything from now on. Raises BadAddress, NoThreshold, TooManyEndpoints."""
    recipients.check(url)
    _require_threshold(types, credits_low_at)
    of(account)
    # Counted in the account's own turn, so that many at once are not more than may be.
    account = Account.objects.select_for_update().get(pk=account.pk)
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
def change(endpoint: WebhookEndpoint, **changes: object) -> WebhookEndpoint:
    """Of url, types, description and credits_low_at those that are named. Raises BadAddress, NoThreshold."""
    if "url" in changes:
        recipients.check(str(changes["url"]))
    account = Account.objects.select_for_update().get(pk=endpoint.account_id)
    endpoint.refresh_from_db()
    _require_threshold(changes.get("types", endpoint.types), changes.get("credits_low_at", endpoint.credits_low_at))
    if "credits_low_at" in changes:
        # A new threshold is no crossing: what lies below it already has not just fallen.
        changes["is_low"] = _is_low(account, changes["credits_low_at"])
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**changes)
    endpoint.refresh_from_db()
    return endpoint


def _require_threshold(types: object, threshold: object) -> None:
    if isinstance(types, Sequence) and WebhookType.CREDITS_LOW in types and threshold is None:
        raise NoThreshold


def _is_low(account: Account, threshold: object) -> bool:
    return isinstance(threshold, int) and account.available < threshold


def switch_off(endpoint: WebhookEndpoint, because: str) -> bool:
    """It hears nothing from now on; what was on its way to it is given up. False when it was off already."""
    still_on = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at=None)
    return still_on.update(disabled_at=Now(), disabled_because=because[:200]) == 1


def switch_on(endpoint: WebhookEndpoint) -> bool:
    """It hears again, and of what happens from now on. False when it was on already."""
    off = WebhookEndpoint.objects.filter(pk=endpoint.pk, disabled_at__isnull=False)
    return off.update(disabled_at=None, disabled_because="", failing_since=None) == 1


def remove(endpoint: WebhookEndpoint) -> bool:
    """Out of sight, and its secret of no use; its row stays, for an order that ends at this moment may name it."""
    there = WebhookEndpoint.objects.filter(pk=endpoint.pk, deleted_at=None)
    return there.update(deleted_at=Now(), salt=new_token(), previous_salt="", previous_until=None) == 1


def require_on(endpoint: WebhookEndpoint | None) -> None:
    if endpoint is not None and not endpoint.is_listening:
        raise EndpointOff("This endpoint is switched off or removed. Switch it on first.")


def pending(endpoint: WebhookEndpoint) -> int:
    """How many messages are under way to it."""
    return endpoint.deliveries.filter(state=WebhookDelivery.State.PENDING).count()


# --- Secrets ------------------------------------------------------------------------------------------------------


def secret_of(signing: Signing) -> str:
    """The secret in use, as receivers know it: `whsec_…`. To be shown once, when it is made."""
    return _secret(signing.salt, settings.SECRET_KEY)


def secrets_of(signing: Signing, *, now: datetime | None = None) -> list[str]:
    """All that a message is signed with: for a day after a rotation, the secret before as well."""
    salts = [signing.salt]
    if signing.previous_salt and signing.previous_until and signing.previous_until > (now or timezone.now()):
        salts.append(signing.previous_salt)
    # Whoever changes SECRET_KEY keeps the old one as a fallback for a while; so do these.
    return [_secret(salt, key) for salt in salts for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


def rotate(signing: Signed) -> str:
    """A new secret, shown now and never again. The one before signs along for a day."""
    ours = type(signing)._default_manager.filter(pk=signing.pk)
    until = timezone.now() + BOTH_SECRETS_FOR
    salt = new_token()
    ours.update(previous_salt=F("salt"), previous_until=until, salt=salt)
    signing.refresh_from_db()
    return _secret(salt, settings.SECRET_KEY)


def _secret(salt: str, key: str | bytes) -> str:
    # Derived, so that neither a copy of the database nor SECRET_KEY alone signs anything.
    digest = salted_hmac("generations.callbacks.views", salt, secret=key, algorithm="sha256").digest()
    return f"whsec_{base64.b64encode(digest).decode()}"
