"""The tables of the accounts app: API keys, token buckets of rate limits, and limits of single users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from credits.models import Account
from database import clock
from database.ids import new_id

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Scope(models.TextChoices):
    """What an API key may be used for. `generations.http.authentication` says which request needs which scope."""

    READ = "read", "read everything"
    ORDER = "order", "order, cancel and change things"
    MANAGE = "manage", "manage API keys and webhook endpoints"


def default_scopes() -> list[str]:
    """Return the scopes of a new key that asks for none: it reads and orders, but manages no keys."""
    return [Scope.READ, Scope.ORDER]


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def visible_to(self, user: User | AnonymousUser) -> ApiKeyQuerySet:
        """Return the user's own keys, revoked ones included."""
        if not user.is_authenticated:
            return self.none()
        return self.filter(user=user)

    def usable(self) -> ApiKeyQuerySet:
        """Return the keys that authenticate a request now: neither revoked nor expired, and of an active user."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class ApiKey(models.Model):
    """A key of the API. Rows are kept after a key is revoked, because orders refer to the key they came with."""

    uid = models.UUIDField(default=new_id, unique=True, editable=False)
    """The id in the API. The primary key would reveal how many keys exist."""
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, editable=False)
    """The first characters, by which its owner recognises the key."""
    digest = models.CharField(max_length=64, unique=True, editable=False)
    """SHA-256 of the key in hexadecimal. The key itself is not stored."""
    scopes = models.JSONField(default=default_scopes)
    expires_at = models.DateTimeField(null=True)
    credits_max = models.BigIntegerField(null=True)
    """Credits that may be spent with the key in its lifetime. None: no limit."""
    model_slugs = models.JSONField(default=list)
    """Models that may be ordered with the key. Empty: all."""
    created_at = models.DateTimeField(default=clock.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class Bucket(models.Model):
    """A token bucket, stored as the moment when it will be full again. See `accounts.token_bucket`."""

    name = models.CharField(max_length=100, primary_key=True)
    full_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class UserLimits(models.Model):
    """Limits that staff set for one account instead of the settings. None: the setting applies. 0: unlimited."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="limits")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    running_max = models.PositiveIntegerField(null=True, blank=True)
    credits_per_day = models.PositiveIntegerField(null=True, blank=True)
    credits_per_month = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "user limits"

    def __str__(self) -> str:
        return f"limits of {self.account}"
