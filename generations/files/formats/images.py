"""Inspects images by decoding them with Pillow."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import (
    EXTENSION_OF_IMAGE_FORMAT,
    PIXELS_MAX,
    MediaInfo,
    NotMedia,
    is_out_of_memory,
)

# Pillow refuses images of more than twice this number by itself, before it allocates memory.
Image.MAX_IMAGE_PIXELS = PIXELS_MAX
# What begins each block of a GIF file.
GIF_EXTENSION, GIF_IMAGE, GIF_TRAILER = b"!,;"
# A longer GIF file is not searched for its end.
GIF_BYTES_MAX = 64 * 1024**2


def inspect_image(reader: ByteReader) -> MediaInfo:
    """Decode a PNG, JPEG, WebP or GIF image.

    Raises:
        NotMedia: It is broken, incomplete or too large.
        MemoryError: This says nothing about the file. It ends the process of the sandbox.
    """
    reader.file.seek(0)
    try:
        with Image.open(reader.file, formats=list(EXTENSION_OF_IMAGE_FORMAT)) as image:
            # Between the limit and its double, Pillow only warns.
            if image.width * image.height > PIXELS_MAX:
                raise NotMedia(f"an image of more than {PIXELS_MAX} pixels")
            extension = EXTENSION_OF_IMAGE_FORMAT[str(image.format)]
            width, height = image.size
            # A JPEG image is decoded to an eighth of its size: every byte of it is read all the same, in a third of the
            # time. Of other formats this does nothing.
            image.draft(None, (1, 1))
            # Only decoding proves that the image is complete: a truncated file has a perfect header.
            image.load()
            # Only the first picture of an animation was decoded.
            return MediaInfo.of_type(extension, proves_end=_ENDS[extension](reader), width=width, height=height)
    except NotMedia:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from error
        # Decoders raise anything for broken bytes: struct.error, SyntaxError, IndexError.
        raise NotMedia("a broken image", detail=f"{error}"[:200]) from error


def _ends_with(mark: bytes) -> Callable[[ByteReader], bool]:
    return lambda reader: reader.read(max(0, reader.size_bytes - len(mark)), len(mark)) == mark


def _ends_as_gif(reader: ByteReader) -> bool:
    """Follow the blocks of a GIF file to its trailer, which must be the last byte."""
    if reader.size_bytes > GIF_BYTES_MAX:
        return False
    data = reader.read(0, reader.size_bytes)
    try:
        # The header and, if its flags say so, a table of colours.
        at = 13 + _colour_table_bytes(data[10])
        while data[at] in (GIF_EXTENSION, GIF_IMAGE):
            # An image has a descriptor of ten bytes, perhaps a table of colours, and the size of its first codes.
            at += 2 if data[at] == GIF_EXTENSION else 11 + _colour_table_bytes(data[at + 9])
            # The content: blocks of at most 255 bytes, each after its length. A block without bytes is the last.
            while data[at]:
                at += 1 + data[at]
            at += 1
        return data[at] == GIF_TRAILER and at == len(data) - 1
    except IndexError:
        return False


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


_ENDS: dict[str, Callable[[ByteReader], bool]] = {
    # The last chunk: no content, its name, its checksum.
    "png": _ends_with(b"\0\0\0\0IEND\xaeB`\x82"),
    "jpg": _ends_with(b"\xff\xd9"),
    "webp": lambda reader: int.from_bytes(reader.head[4:8], "little") + 8 == reader.size_bytes,
    "gif": _ends_as_gif,
}
"""By extension, whether a decoded image is followed by the end that its format prescribes, and by nothing else."""
