"""A row that a worker may hold for a while."""

from django.db import models


class Leased(models.Model):
    """A row that a worker may hold for a while (see `leases`). When `next_attempt_at` is empty nothing is due."""

    next_attempt_at = models.DateTimeField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    crashes = models.PositiveIntegerField(default=0, editable=False)
    """How often in a row its worker died or raised: work that kills whoever touches it must end."""

    class Meta:
        abstract = True
