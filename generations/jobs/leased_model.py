"""The base of every table whose rows are work. They become due, and one worker at a time holds one (`jobs.leases`)."""

from django.db import models


class Leased(models.Model):
    """A row that a worker may hold for a while. See `leases`."""

    next_attempt_at = models.DateTimeField(null=True, editable=False)
    """When the row is due. Empty: nothing is to be done."""
    leased_until = models.DateTimeField(null=True, editable=False)
    lease = models.UUIDField(null=True, editable=False)
    """The proof of the worker that holds it."""
    attempts = models.PositiveIntegerField(default=0, editable=False)
    crashes = models.PositiveIntegerField(default=0, editable=False)
    """How many workers in a row died while they held it."""

    class Meta:
        abstract = True
