"""What was spent, as rows: per account and day, and per API key. `lifecycle` keeps them; `ordering.quotas` reads them.

An order adds its price in the transaction that places it, and the end of the generation takes back what was released.
So no order sums up a month, however many there are.
"""

from __future__ import annotations

from django.db import models
from django.db.models import BigIntegerField, Case, F, When

from generations.models.states import Phase

# What a generation counts for: the credits that it holds, and once it has ended, those that it cost.
SPENDING = Case(When(phase=Phase.DONE, then=F("captured")), default=F("credits"), output_field=BigIntegerField())


class DailySpending(models.Model):
    """The credits that the orders of one account on one day (UTC) hold, or have cost."""

    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    credits = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["account", "day"], name="generations_spending_of_day")]

    def __str__(self) -> str:
        return f"{self.credits} by {self.account_id} on {self.day}"


class KeySpending(models.Model):
    """The credits that the orders of one API key hold, or have cost, in the lifetime of the key."""

    api_key = models.OneToOneField(
        "accounts.ApiKey", on_delete=models.CASCADE, primary_key=True, related_name="spending"
    )
    credits = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.credits} with {self.api_key_id}"
