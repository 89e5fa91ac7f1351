"""The customers' own keys and values, as rows by which lists of generations are filtered."""

from __future__ import annotations

from django.db import models

from generations.models.generation import Generation


class MetadataEntry(models.Model):
    """One key and its value in the metadata of a generation.

    A trigger (migration 0005) writes these rows whenever `Generation.metadata` is written, so both always agree. The
    index has the newest generations of a value in their order. An index of the JSON document itself has not: it would
    find all of them before the first page is known.
    """

    generation = models.ForeignKey(Generation, on_delete=models.CASCADE, related_name="metadata_entries")
    account = models.ForeignKey("credits.Account", on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.CharField(max_length=40)
    value = models.CharField(max_length=500)

    class Meta:
        verbose_name_plural = "metadata entries"
        constraints = [
            models.UniqueConstraint(fields=["account", "key", "value", "generation"], name="generations_by_metadata")
        ]

    def __str__(self) -> str:
        return f"{self.key} of {self.generation_id}"
