"""Pictures that customers bring: good ones, telling ones, and what is none."""

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

ORIENTATION, GPS = 0x0112, 0x8825


def picture(kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (64, 48), **saving: Any) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(file, kind, **saving)
    return file.getvalue()


def telling(kind: str = "JPEG") -> bytes:
    """As a telephone takes it: lying on its side, and full of who and where."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x010E] = "Alice at home"
    exif.get_ifd(GPS)[1] = "N"
    return picture(kind, exif=exif, comment=b"Alice at home") if kind == "JPEG" else picture(kind, exif=exif)


def laid(user: User) -> Upload:
    """One that is ready, put there past all that looks at it: where only its being there counts."""
    upload = uploads.create(
        Account.objects.for_user(user), file_name="fox.png", content_type="image/png", size_bytes=99
    )
    key, small = f"uploads/{upload.pk}/image.png", f"uploads/{upload.pk}/thumbnail.webp"
    for name, kind in ((key, "PNG"), (small, "WEBP")):
        storage.put(name, io.BytesIO(picture(kind)), content_type=f"image/{kind.lower()}")
    measured, thumbnail = storage.measure(key), storage.measure(small)
    found = {
        "content_type": "image/png",
        "size_bytes": measured.size_bytes,
        "sha256": measured.sha256,
        "width": 64,
        "height": 48,
    }
    found |= {"key": key, "thumbnail_key": small, "thumbnail_size_bytes": thumbnail.size_bytes}
    Upload.objects.filter(pk=upload.pk).update(state=Upload.State.READY, completed_at=timezone.now(), **found)
    upload.refresh_from_db()
    return upload


def lying(key: str) -> bytes:
    """What lies in storage under this key."""
    with storage.open_file(key) as file:
        return bytes(file.read())


def age(minutes: float) -> None:
    """Every upload was announced so long ago. (The clock of a bucket cannot be moved.)"""
    Upload.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))


def brought(user: User, content: bytes = b"", *, name: str = "fox.png") -> Upload:
    """An upload of this user's, ready to be used."""
    content = content or picture()
    return uploads.create_from_form(
        Account.objects.for_user(user), io.BytesIO(content), file_name=name, size_bytes=len(content)
    )
