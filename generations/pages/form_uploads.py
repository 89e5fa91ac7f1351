"""Pictures that come with a form: plain file inputs, no script. Each becomes an upload, and the form names it then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import IO, Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler
from django.http import QueryDict

from credits.models import Account
from generations.catalogue import Model
from generations.catalogue.files import MEGABYTE, OwnFile, is_own_file
from generations.files import sandbox, uploads
from generations.http.login_required import UserRequest
from generations.models import Output, Upload
from generations.pages import forms
from generations.pages.fields import Field, fields_of

# All pictures of a form together.
FORM_BYTES_MAX = 128 * MEGABYTE
# For a picture that is not there yet, where only its being there counts.
STAND_IN = "https://example.com/"
TROUBLES: dict[type[Exception], str] = {
    uploads.StorageUnavailable: "it could not be stored just now. Please try again.",
    sandbox.SandboxUnavailable: "it could not be looked at just now. Please try again.",
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
            raise RequestDataTooBig(f"A form may bring {FORM_BYTES_MAX // MEGABYTE} MB at a time.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return None


@dataclass
class Sent:
    """A submitted form: the inputs that it stands for, and the pictures that it brought."""

    values: dict[str, Any] = dataclass_field(default_factory=dict)
    errors: list[dict[str, Any]] = dataclass_field(default_factory=list)
    brought: list[Upload] = dataclass_field(default_factory=list)

    def forget(self) -> None:
        """They were not needed after all."""
        for upload in self.brought:
            uploads.erase(upload)


def receive(request: UserRequest, model: Model) -> Sent:
    """Read the form, and keep each picture that came with it as an upload: whatever becomes of the order, the form that
    is shown again has it."""
    sent = Sent()
    brought = {
        field.name: [
            kept for file in request.FILES.getlist(field.file_name) if (kept := _keep(request, field, file, sent))
        ]
        for field in _leaves(model)
        if field.takes_uploads
    }
    sent.values = forms.read(model, request.POST, brought)
    return sent


def _leaves(model: Model) -> Iterator[Field]:
    for field in fields_of(model):
        yield from field.leaves()


def _keep(request: UserRequest, field: Field, file: UploadedFile[Any], sent: Sent) -> OwnFile | None:
    """The picture as an upload; what is wrong with it is noted, at the field that stands in the form for sure."""
    name = _name(file)
    try:
        upload = uploads.create_from_form(
            Account.objects.for_user(request.user), file, file_name=name, size_bytes=file.size or 0
        )
    except (uploads.UploadError, sandbox.SandboxUnavailable) as error:
        words = TROUBLES.get(type(error)) or getattr(error, "reason", str(error))
        sent.errors.append({"loc": [field.loc[0]], "msg": f"{name}: {words}", "type": "upload"})
        return None
    sent.brought.append(upload)
    return {"upload": str(upload.pk)}


def awaited(form: QueryDict, model: Model) -> dict[str, Any]:
    """The inputs of a form whose pictures have been chosen and not sent yet; its price hangs on how many there are."""
    # htmx names each file, and sends no bytes.
    chosen = {field.name: [STAND_IN] * len(form.getlist(field.file_name)) for field in _leaves(model)}
    return forms.read(model, form, chosen)


def by_content(values: Mapping[str, Any]) -> str:
    """The inputs in one line, an upload by what it shows: who sends the same form twice brings its pictures twice."""
    said = json.dumps(values, sort_keys=True)
    for upload_id, sha256 in Upload.objects.filter(pk__in=_uploads_in(values)).values_list("pk", "sha256"):
        said = said.replace(str(upload_id), sha256)
    return said


def _uploads_in(values: Mapping[str, Any]) -> list[str]:
    found = [each for value in values.values() for each in (value if isinstance(value, list) else [value])]
    here = [each["upload"] for each in found if is_own_file(each) and "upload" in each]
    return here + [name for each in found if isinstance(each, Mapping) for name in _uploads_in(each)]


def _name(file: UploadedFile[Any]) -> str:
    """As its owner calls it, without what could not be stored or shown."""
    return "".join(c for c in file.name or "" if c.isprintable())[:255] or "picture"


def prefilled(request: UserRequest, model: Model) -> dict[str, Any]:
    """The first file of its kind in the form, when the address names an output of one's own: `?output=<id>`."""
    try:
        name = UUID(request.GET.get("output", ""))
    except ValueError:
        return {}
    mine = Output.objects.visible_to(request.user).stored().filter(pk=name).first()
    widgets = {"image", "images"} if mine and mine.kind == "image" else {mine.kind} if mine else set()
    field = next((field for field in fields_of(model) if field.widget in widgets), None)
    if field is None:
        return {}
    reference = {"output": str(name)}
    return {field.key: [reference] if field.widget == "images" else reference}
