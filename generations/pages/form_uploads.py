"""Images that are uploaded with an order form, through plain file inputs.

The form pages call `read_submitted` for a submitted form: each image becomes an upload of the user at once, so a form
that is shown again still has it. `read_for_quote` reads a form whose images are chosen but not sent yet.
`FormSizeLimit` is installed in `FILE_UPLOAD_HANDLERS` and rejects a form that is too large before any of it is stored.
"""

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

# All images of one form together.
FORM_BYTES_MAX = 128 * MEGABYTE
FILE_NAME_CHARACTERS_MAX = 255
# Stands for an image that is chosen but not uploaded yet. The price depends on the number of images only.
PLACEHOLDER_URL = "https://example.com/"
UNAVAILABLE_MESSAGES: dict[type[Exception], str] = {
    uploads.StorageUnavailable: "it could not be stored. Please try again.",
    sandbox.SandboxUnavailable: "it could not be inspected. Please try again.",
}


class FormSizeLimit(FileUploadHandler):
    """Rejects a form whose files are too large together. Everything else is left to the handlers after it."""

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],
        content_length: int,
        boundary: str,
        encoding: str | None = None,
    ) -> None:
        if content_length > FORM_BYTES_MAX:
            raise RequestDataTooBig(f"A form can carry at most {FORM_BYTES_MAX // MEGABYTE} MB.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> UploadedFile[Any] | None:
        return None


@dataclass
class SubmittedForm:
    """The content of a submitted form, after its images were stored as uploads."""

    values: dict[str, Any] = dataclass_field(default_factory=dict)
    """The inputs by name."""
    errors: list[dict[str, Any]] = dataclass_field(default_factory=list)
    """Why images were rejected, in the format of the catalogue's errors."""
    stored: list[Upload] = dataclass_field(default_factory=list)
    """The uploads that the images became."""

    def discard_uploads(self) -> None:
        """Erase the uploads of this form, for the case that no order uses them."""
        for upload in self.stored:
            uploads.erase(upload)


def read_submitted(request: UserRequest, model: Model) -> SubmittedForm:
    """Read a submitted form and store each of its images as an upload of the user.

    An image that cannot be used becomes an error at its field. The others are stored whatever becomes of the order.
    """
    submitted = SubmittedForm()
    # By field name, as `forms.read` takes them.
    references: dict[str, list[OwnFile]] = {}
    for field in _leaves(model):
        if field.accepts_uploads:
            files = request.FILES.getlist(field.file_name)
            found = [_store(request, field, file, submitted) for file in files]
            references[field.name] = [reference for reference in found if reference is not None]
    submitted.values = forms.read(model, request.POST, references)
    return submitted


def _store(request: UserRequest, field: Field, file: UploadedFile[Any], submitted: SubmittedForm) -> OwnFile | None:
    """Store one image. Returns a reference to the upload, or None after adding an error to `submitted`."""
    # The browser chooses the name. Control characters could neither be stored nor shown.
    name = "".join(c for c in file.name or "" if c.isprintable())[:FILE_NAME_CHARACTERS_MAX] or "image"
    try:
        account = Account.objects.for_user(request.user)
        upload = uploads.create_from_form(account, file, file_name=name, size_bytes=file.size or 0)
    except (uploads.UploadError, sandbox.SandboxUnavailable) as error:
        message = UNAVAILABLE_MESSAGES.get(type(error)) or getattr(error, "reason", str(error))
        # At the outermost field: an item of a group may not be shown again if nothing else was filled in.
        submitted.errors.append({"loc": [field.loc[0]], "msg": f"{name}: {message}", "type": "upload"})
        return None
    submitted.stored.append(upload)
    return {"upload": str(upload.pk)}


def read_for_quote(form: QueryDict, model: Model) -> dict[str, Any]:
    """Return the inputs of a form that was sent by htmx for its price, with a placeholder for each chosen image."""
    # htmx sends the names of the chosen files, and none of their bytes.
    chosen = {field.name: [PLACEHOLDER_URL] * len(form.getlist(field.file_name)) for field in _leaves(model)}
    return forms.read(model, form, chosen)


def canonical_json(values: Mapping[str, Any]) -> str:
    """Return the inputs as JSON in which the id of each upload is replaced by the SHA-256 of its content.

    The same form submitted twice stores its images twice, under different ids, and still has one canonical form.
    """
    # A UUID matches nothing else, so it can be replaced in the text wherever it stands.
    text = json.dumps(values, sort_keys=True)
    for upload_id, sha256 in Upload.objects.filter(pk__in=_upload_ids(values)).values_list("pk", "sha256"):
        text = text.replace(str(upload_id), sha256)
    return text


def initial_file(request: UserRequest, model: Model) -> dict[str, Any]:
    """Return the value of the first file field of the form, for `?output=<id>`.

    Returns an empty dict if the URL names no stored output of the user, or the model has no field for its kind.
    """
    try:
        output_id = UUID(request.GET.get("output", ""))
    except ValueError:
        return {}
    output = Output.objects.visible_to(request.user).stored().filter(pk=output_id).first()
    # A field for several images takes one as well.
    widgets = {"image", "images"} if output and output.kind == "image" else {output.kind} if output else set()
    field = next((field for field in fields_of(model) if field.widget in widgets), None)
    if field is None:
        return {}
    reference = {"output": str(output_id)}
    return {field.key: [reference] if field.widget == "images" else reference}


def _leaves(model: Model) -> Iterator[Field]:
    for field in fields_of(model):
        yield from field.leaves()


def _upload_ids(values: Mapping[str, Any]) -> list[str]:
    """Return the ids of all uploads that these inputs name, at any depth."""
    found = [each for value in values.values() for each in (value if isinstance(value, list) else [value])]
    own = [each["upload"] for each in found if is_own_file(each) and "upload" in each]
    return own + [upload_id for each in found if isinstance(each, Mapping) for upload_id in _upload_ids(each)]
