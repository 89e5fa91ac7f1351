"""The stored files that a generation works on: uploads, and outputs of earlier generations."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from generations.models.generation import Generation
from generations.models.output import Output
from generations.models.states import Phase
from generations.models.upload import Upload


class InputFileQuerySet(models.QuerySet["InputFile"]):
    def needed(self) -> InputFileQuerySet:
        """Return the input files of generations that have not ended: fal may still fetch them."""
        return self.exclude(generation__phase=Phase.DONE)


class InputFile(models.Model):
    """A stored file that a generation works on, and its place in the arguments."""

    generation = models.ForeignKey(Generation, on_delete=models.PROTECT, related_name="input_files", db_index=False)
    path = models.CharField(max_length=200)
    """Its place in the arguments, such as "image_url" or "image_urls[0]"."""
    upload = models.ForeignKey(Upload, null=True, on_delete=models.PROTECT, related_name="uses")
    output = models.ForeignKey(Output, null=True, on_delete=models.PROTECT, related_name="uses")

    objects = InputFileQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(fields=["generation", "path"], name="generations_one_input_file_per_path"),
            models.CheckConstraint(
                condition=Q(upload=None, output__isnull=False) | Q(upload__isnull=False, output=None),
                name="generations_input_file_is_one_file",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.path} of {self.generation_id}"

    @property
    def file(self) -> Upload | Output:
        found = self.upload or self.output
        if found is None:
            raise TypeError("A constraint of the table requires one file.")
        return found

    @property
    def is_there(self) -> bool:
        """Whether the file still exists: its owner may have erased it."""
        there = Upload.State.READY if self.upload else Output.State.STORED
        return self.file.state == there
