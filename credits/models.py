"""The tables of the ledger: accounts, holds and entries.

Only `credits.ledger` writes them; everything else reads them through the ORM. Constraints and an append-only trigger
(see the initial migration) keep each row consistent even if the ledger has a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from database import clock

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# The largest amount of one entry. It is far above any order, so a typing error is refused, and far enough below the
# limit of a bigint that no sum over the ledger overflows.
CREDITS_MAX = 2**31 - 1
KEY_CHARACTERS_MAX = 100


class AccountManager(models.Manager["Account"]):
    def for_user(self, user: User) -> Account:
        """Return the user's account. A user who has none gets an empty one."""
        account, _ = self.get_or_create(user=user)
        return account

    def read_with(self, user: User) -> Account:
        """Return the account that was read together with the user, as for a request with an API key.

        Its balance is as old as the request. Otherwise as `for_user`.
        """
        return user._state.fields_cache.get("account") or self.for_user(user)


class Account(models.Model):
    """The credits of one user. `balance` and `held` cache the sums of the account's entries; `credits.audit` compares
    them."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="account")
    balance = models.BigIntegerField(default=0)
    """All credits of the account, including those that open holds reserve."""
    held = models.BigIntegerField(default=0)
    """The part of `balance` that open holds reserve."""
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = AccountManager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(balance__gte=0), name="credits_balance_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="credits_held_not_negative"),
            models.CheckConstraint(condition=Q(held__lte=F("balance")), name="credits_held_within_balance"),
        ]

    def __str__(self) -> str:
        return self.user.get_username()

    @property
    def available(self) -> int:
        """The credits that a new order can spend."""
        return self.balance - self.held


class Hold(models.Model):
    """Credits reserved for one thing. A hold is settled once: by capture, by release, or by both in parts."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="holds")
    reference = models.CharField(max_length=100, unique=True)
    """What the credits are for, such as `generation:<uuid>`. The ledger does not interpret it."""
    amount = models.BigIntegerField()
    captured = models.BigIntegerField(default=0)
    released = models.BigIntegerField(default=0)
    refunded = models.BigIntegerField(default=0)
    opened_at = models.DateTimeField(default=clock.now, editable=False)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(amount__gte=0, amount__lte=CREDITS_MAX), name="credits_hold_amount"),
            models.CheckConstraint(
                condition=Q(captured__gte=0, released__gte=0)
                & (
                    Q(settled_at=None, captured=0, released=0)
                    | Q(settled_at__isnull=False, amount=F("captured") + F("released"))
                ),
                name="credits_hold_settles_in_full",
            ),
            models.CheckConstraint(
                condition=Q(refunded__gte=0, refunded__lte=F("captured")), name="credits_refund_within_capture"
            ),
        ]
        indexes = [models.Index(fields=["account"], name="credits_hold_open", condition=Q(settled_at=None))]

    def __str__(self) -> str:
        return self.reference


class EntryQuerySet(models.QuerySet["Entry"]):
    def of_user(self, user_id: int | None) -> EntryQuerySet:
        """Return the entries of the user's account.

        Without a join, so that PostgreSQL reads them in the order of the index of an account's entries.
        """
        return self.filter(account=Account.objects.filter(user=user_id).values("pk")[:1])

    def newest_first(self) -> EntryQuerySet:
        """Order by the primary key: unlike `created_at`, it is unique, so pages of a statement do not overlap."""
        return self.order_by("-id")


class Entry(models.Model):
    """One entry of the ledger. Rows are only added: a trigger refuses UPDATE, DELETE and TRUNCATE.

    `balance_change` moves credits between the account and `counter_side`, so all entries together sum to zero.
    `held_change` moves credits within the account, between the available and the held ones.
    """

    class Kind(models.TextChoices):
        GRANT = "grant"
        HOLD = "hold"
        CAPTURE = "capture"
        RELEASE = "release"
        REFUND = "refund"
        ADJUST = "adjust"

    class CounterSide(models.TextChoices):
        NONE = "", "within the account"
        TREASURY = "treasury"
        REVENUE = "revenue"

    SETTLING = (Kind.CAPTURE, Kind.RELEASE)
    """The kinds that settle a hold."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries", db_index=False)
    kind = models.CharField(max_length=8, choices=Kind)
    balance_change = models.BigIntegerField(default=0)
    held_change = models.BigIntegerField(default=0)
    counter_side = models.CharField(max_length=8, choices=CounterSide, blank=True, default=CounterSide.NONE)
    available_after = models.BigIntegerField()
    """The available credits of the account after this entry: `balance_change - held_change` and those before it."""
    hold = models.ForeignKey(Hold, null=True, on_delete=models.PROTECT, related_name="entries")
    # Idempotency key. Entries without one have NULL: a unique column takes many NULLs, but only one empty string.
    key = models.CharField(max_length=KEY_CHARACTERS_MAX, null=True, unique=True)  # noqa: DJ001
    actor = models.CharField(max_length=150, blank=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["hold"], condition=Q(kind="hold"), name="credits_hold_opens_once"),
            models.UniqueConstraint(
                fields=["hold"], condition=Q(kind__in=["capture", "release"]), name="credits_hold_settles_once"
            ),
            models.CheckConstraint(
                condition=Q(counter_side="", balance_change=0) | ~Q(counter_side=""),
                name="credits_change_has_two_sides",
            ),
            # Entries of a hold name it; entries by a person carry an idempotency key.
            models.CheckConstraint(
                condition=Q(kind__in=["hold", "capture", "release"], hold__isnull=False)
                | Q(kind="refund", hold__isnull=False, key__isnull=False)
                | Q(kind__in=["grant", "adjust"], hold__isnull=True, key__isnull=False),
                name="credits_entry_has_cause",
            ),
        ]
        indexes = [models.Index(fields=["account", "-id"], name="credits_statement")]

    def __str__(self) -> str:
        return f"{self.kind} {self.balance_change:+d}/{self.held_change:+d}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        # The trigger refuses this as well; the exception names the remedy and does not abort a transaction.
        if not self._state.adding:
            raise TypeError("A ledger entry is never changed; post another entry instead.")
        super().save(*args, **kwargs)
