"""The program that extracts the article of a web page: HTML on standard input, title and text on standard output.

`articles` starts it with `python -m` for each page, so that a page which crashes or exhausts the parser harms nothing
else. The first line of the output is the title, the rest is the text. Both are plain words without markup.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from generations.files.process_limits import limit_process

PAGE_BYTES_MAX = 3 * 1024**2
MEMORY_BYTES_MAX = 1024**3


def main() -> None:
    # Imported here, because only this process needs it, and loading it takes half a second.
    import trafilatura  # noqa: PLC0415

    page = sys.stdin.buffer.read(PAGE_BYTES_MAX + 1)
    limit_process(memory_bytes=MEMORY_BYTES_MAX, cpu_seconds=int(sys.argv[1]), file_bytes=0)
    found = trafilatura.bare_extraction(
        page, include_comments=False, include_links=False, favor_precision=True, with_metadata=True
    )
    title, text = _to_words(getattr(found, "title", "")), _to_words(getattr(found, "text", ""))
    sys.stdout.buffer.write(f"{title.replace(chr(10), ' ')}\n{text}".encode())


def _to_words(text: Any) -> str:
    """Remove control characters, and all characters that could be read as markup."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in str(text or ""))
    return re.sub(r"[ \t]+", " ", re.sub(r"[<>`{}\[\]|]", " ", printable)).strip()


if __name__ == "__main__":
    main()
