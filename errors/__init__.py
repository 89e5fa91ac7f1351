"""The base class of every error that Limn reports to a client.

Each app derives its errors from `DomainError` and gives them a code, an HTTP status and a title. The renderer
(`generations.http.problems`) therefore needs to know none of them. This package imports neither Django nor an app, so
that the catalogue and the fal client may use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar


class DomainError(Exception):
    """An error that its reader can act upon. `str(error)` is the detail: a sentence for that reader.

    `code` is the stable name that programs test. `status` is the HTTP status. `title` is the short text of the code.
    `default_detail` is the detail of an error raised without one. `headers` go with the HTTP response; `extra` becomes
    members of the problem document and must be JSON values.
    """

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    default_detail: ClassVar[str] = ""

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        self.detail = detail or self.default_detail or f"{self.title}."
        self.headers = dict(headers or {})
        self.extra = extra
        super().__init__(self.detail)


def subclasses(base: type[DomainError] = DomainError) -> Iterator[type[DomainError]]:
    """Yield every error class that has a code, of all modules that are imported by now."""
    for found in base.__subclasses__():
        if hasattr(found, "code"):
            yield found
        yield from subclasses(found)
