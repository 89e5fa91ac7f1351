"""Pictures that come with a form: plain file inputs, no script. Each becomes an upload, and the form names it then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import IO, Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict

from credits import accounts
from generations import prober, uploads
from generations.catalogue import Model
from generations.catalogue.fields import is_reference
from generations.models import Output, Upload
from generations.pages import forms
from generations.pages.forms import Field
from generations.pages.members import MemberRequest

# All pictures of a form together.
FORM_BYTES_MAX = 128 * uploads.MEGABYTE
# For a picture that is not there yet, where only its being there counts.
STAND_IN = "https://example.com/"
TROUBLES = {
    uploads.StorageAway: "it could not be stored just now. Please try again.",
    prober.ProberAway: "it could not be looked at just now. Please try again.",
}


class BoundedForms(FileUploadHandler):
    """The first to hear of a form with files. It refuses one that is too large as a whole, and leaves the rest."""

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length > FORM_BYTES_MAX:
            raise RequestDataTooBig(f"A form may bring {FORM_BYTES_MAX // uploads.MEGABYTE} MB at a time.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return None


@dataclass
class Sent:
    """A submitted form: the inputs that it stands for, and the pictures that it brought."""

    values: dict[str, Any]
    errors: list[dict[str, Any]] = dataclass_field(default_factory=list)
    brought: list[Upload] = dataclass_field(default_factory=list)

    def forget(self) -> None:
        """They were not needed after all."""
        for upload in self.brought:
            uploads.erase(upload)


def receive(request: MemberRequest, model: Model) -> Sent:
    """Read the form, and keep each picture that came with it as an upload: whatever becomes of the order, the form that
    is shown again has it."""
    sent = Sent(values=forms.read(model, request.POST))
    for field in forms.fields_of(model):
        for file in request.FILES.getlist(field.file_name) if field.takes_pictures else ():
            _keep(request, field, file, sent)
    return sent


def _keep(request: MemberRequest, field: Field, file: UploadedFile[Any], sent: Sent) -> None:
    name = _name(file)
    try:
        upload = uploads.bring(accounts.of(request.user), file, file_name=name, size_bytes=file.size or 0)
    except (uploads.UploadError, prober.ProberAway) as error:
        words = TROUBLES.get(type(error), f"{error}")
        sent.errors.append({"loc": [field.name], "msg": f"{name}: {words}", "type": "upload"})
    else:
        sent.brought.append(upload)
        sent.values[field.name] = field.with_pictures(sent.values.get(field.name), [{"upload": str(upload.pk)}])


def awaited(form: QueryDict, model: Model) -> dict[str, Any]:
    """The inputs of a form whose pictures have been chosen and not sent yet; its price hangs on how many there are."""
    values = forms.read(model, form)
    for field in forms.fields_of(model):
        # htmx names each file, and sends no bytes.
        if field.takes_pictures and (chosen := form.getlist(field.file_name)):
            values[field.name] = field.with_pictures(values.get(field.name), [STAND_IN] * len(chosen))
    return values


def by_content(values: Mapping[str, Any]) -> str:
    """The inputs in one line, an upload by what it shows: who sends the same form twice brings its pictures twice."""
    said = json.dumps(values, sort_keys=True)
    for upload_id, sha256 in Upload.objects.filter(pk__in=_uploads_in(values)).values_list("pk", "sha256"):
        said = said.replace(str(upload_id), sha256)
    return said


def _uploads_in(values: Mapping[str, Any]) -> list[str]:
    found = [each for value in values.values() for each in (value if isinstance(value, list) else [value])]
    return [each["upload"] for each in found if is_reference(each) and "upload" in each]


def _name(file: UploadedFile[Any]) -> str:
    """As its owner calls it, without what could not be stored or shown."""
    return "".join(c for c in file.name or "" if c.isprintable())[:255] or "picture"


def prefilled(request: MemberRequest, model: Model) -> dict[str, Any]:
    """The first picture of the form, when the address names an output of one's own: `?output=<id>`."""
    field = next((field for field in forms.fields_of(model) if field.takes_pictures), None)
    try:
        name = UUID(request.GET.get("output", ""))
    except ValueError:
        return {}
    mine = Output.objects.visible_to(request.user).stored().filter(pk=name, kind="image")
    if field is None or not mine.exists():
        return {}
    return {field.name: field.with_pictures(None, [{"output": str(name)}])}
