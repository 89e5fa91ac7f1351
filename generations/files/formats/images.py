"""Inspects images by decoding them with Pillow."""

from __future__ import annotations

from PIL import Image

from generations.files.formats.byte_reader import ByteReader
from generations.files.media_types import EXTENSION_OF_IMAGE_FORMAT, PIXELS_MAX, MediaInfo, NotMedia

# Pillow refuses images of more than twice this number by itself, before it allocates memory.
Image.MAX_IMAGE_PIXELS = PIXELS_MAX


def inspect_image(reader: ByteReader) -> MediaInfo:
    """Decode a PNG, JPEG, WebP or GIF image. Raises NotMedia if it is broken, incomplete or too large."""
    reader.file.seek(0)
    try:
        with Image.open(reader.file, formats=list(EXTENSION_OF_IMAGE_FORMAT)) as image:
            # Between the limit and its double, Pillow only warns.
            if image.width * image.height > PIXELS_MAX:
                raise NotMedia(f"an image of more than {PIXELS_MAX} pixels")
            extension = EXTENSION_OF_IMAGE_FORMAT[str(image.format)]
            found = MediaInfo.of_type(extension, width=image.width, height=image.height)
            # A JPEG image is decoded to an eighth of its size: every byte of it is read all the same, in a third of the
            # time. Of other formats this does nothing.
            image.draft(None, (1, 1))
            # Only decoding proves that the image is complete: a truncated file has a perfect header.
            image.load()
            return found
    except NotMedia:
        raise
    except Exception as error:
        # Decoders raise anything for broken bytes: struct.error, SyntaxError, IndexError, MemoryError.
        raise NotMedia("a broken image", detail=f"{error}"[:200]) from error
