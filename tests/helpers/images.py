"""Images for tests of uploads, and uploads in several states."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from PIL import Image

from credits.models import Account
from generations.files import storage, uploads
from generations.models import Upload

ORIENTATION, IMAGE_DESCRIPTION, GPS = 0x0112, 0x010E, 0x8825


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (64, 48), **saving: Any) -> bytes:
    """A gradient, in one of Pillow's formats and modes."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind, **saving)
    return file.getvalue()


def photo_with_metadata() -> bytes:
    """A JPEG file as a phone makes it: rotated by its metadata, which contain a name and a place."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[IMAGE_DESCRIPTION] = "Alice at home"
    exif.get_ifd(GPS)[1] = "N"
    return picture("JPEG", exif=exif, comment=b"Alice at home")


def ready_upload(user: User, content: bytes = b"", *, name: str = "fox.png") -> Upload:
    """An upload that is ready to be used, made in the regular way."""
    content = content or picture()
    return uploads.create_from_form(
        Account.objects.for_user(user), io.BytesIO(content), file_name=name, size_bytes=len(content)
    )


def insert_upload(user: User) -> Upload:
    """An upload that is ready to be used, written without the sandbox: fast, for tests that only need one to exist."""
    upload = uploads.create(
        Account.objects.for_user(user), file_name="fox.png", content_type="image/png", size_bytes=99
    )
    key, thumbnail_key = f"uploads/{upload.pk}/image.png", f"uploads/{upload.pk}/thumbnail.webp"
    storage.put(key, io.BytesIO(picture("PNG")), content_type="image/png")
    storage.put(thumbnail_key, io.BytesIO(picture("WEBP")), content_type="image/webp")
    measured = storage.measure(key)
    Upload.objects.filter(pk=upload.pk).update(
        state=Upload.State.READY,
        completed_at=timezone.now(),
        content_type="image/png",
        size_bytes=measured.size_bytes,
        sha256=measured.sha256,
        width=64,
        height=48,
        key=key,
        thumbnail_key=thumbnail_key,
        thumbnail_size_bytes=storage.measure(thumbnail_key).size_bytes,
    )
    upload.refresh_from_db()
    return upload


def stored_bytes(key: str) -> bytes:
    """What is stored under this key."""
    with storage.open_file(key) as file:
        return bytes(file.read())


def age_uploads(minutes: float) -> None:
    """Make every upload this old. (The clock of the bucket cannot be moved.)"""
    Upload.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))
