"""Writes a declaration from fal's OpenAPI document of an endpoint: Python, to be read over by a person.

`document` reads what fal says, `inputs` and `files` understand it, `source` writes it down. What stands in the
document comes from outside. It enters the source as literals alone (`repr`), under names that are checked; what cannot
be declared is left out and named, and an input that cannot be left out is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from generations.catalogue.importing.document import CannotDeclare, Document
from generations.catalogue.importing.files import files_of
from generations.catalogue.importing.inputs import inputs_of
from generations.catalogue.importing.source import Draft, ListPrice, written

__all__ = ["CannotDeclare", "ListPrice", "declaration", "slug_of"]

ENDPOINT = re.compile(r"[a-z0-9][\w.-]{0,60}(/[\w.-]{1,60}){1,6}", re.ASCII | re.IGNORECASE)
SLUG = re.compile(r"[a-z][a-z0-9.-]{0,60}")


def slug_of(endpoint: str) -> str:
    """A name for it: without fal's own prefix, and with hyphens."""
    words = endpoint.removeprefix("fal-ai/").lower().replace("_", "-").split("/")
    return "-".join(words)[:60]


def declaration(raw: Mapping[str, Any], *, endpoint: str, slug: str, price: ListPrice, on: date) -> str:
    """The source of a module that declares it. Raises CannotDeclare."""
    if not ENDPOINT.fullmatch(endpoint) or not SLUG.fullmatch(slug):
        raise CannotDeclare("The endpoint or the slug holds characters that no name has. Give a --slug of a to z.")
    document = Document(raw)
    inputs, left_out = inputs_of(document)
    draft = Draft(
        document=document, endpoint=endpoint, slug=slug, inputs=inputs, left_out=left_out, files=files_of(document)
    )
    return written(draft, price=price, on=on)
