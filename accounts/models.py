"""Tables of the accounts app: API keys, rate-limit buckets, and limits of single users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from credits.models import Account
from database.ids import new_id

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User


class Scope(models.TextChoices):
    """What a key may be used for. Which address needs which: `api.authentication`."""

    READ = "read", "look at everything"
    ORDER = "order", "order, cancel, and whatever else changes something"
    MANAGE = "manage", "keys and webhook endpoints"


def default_scopes() -> list[str]:
    """All that keys could do before there were scopes."""
    return [Scope.READ, Scope.ORDER]


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def visible_to(self, user: User | AnonymousUser) -> ApiKeyQuerySet:
        if not user.is_authenticated:
            return self.none()
        return self.filter(user=user)

    def usable(self) -> ApiKeyQuerySet:
        unexpired = Q(expires_at=None) | Q(expires_at__gt=Now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class ApiKey(models.Model):
    """A key of the API. Shown once; only its SHA-256 is kept, which suffices for 256 random bits."""

    uid = models.UUIDField(default=new_id, unique=True, editable=False)
    """Its name to the outside: a number would tell how many there are."""
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=default_scopes)
    expires_at = models.DateTimeField(null=True)
    credits_max = models.BigIntegerField(null=True)
    """What may be spent with it in all its life. Empty: as much as there is."""
    model_slugs = models.JSONField(default=list)
    """What may be ordered with it. Empty: everything."""
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class Bucket(models.Model):
    """The state of a token bucket, as one moment: when it will be full again. See `accounts.token_bucket`."""

    name = models.CharField(max_length=100, primary_key=True)
    full_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.name


class UserLimits(models.Model):
    """What staff allow one customer instead of the settings. Empty: as everybody; 0: without limit."""

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="limits")
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    running_max = models.PositiveIntegerField(null=True, blank=True)
    credits_per_day = models.PositiveIntegerField(null=True, blank=True)
    credits_per_month = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "user limits"

    def __str__(self) -> str:
        return f"limits of {self.account}"
