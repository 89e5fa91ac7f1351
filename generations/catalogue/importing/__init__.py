"""Writes the Python declaration of a model from fal's OpenAPI document of its endpoint.

`manage.py import_model` calls `declaration`. `document` reads fal's document, `inputs` and `files` interpret it and
`source` writes the module. The document comes from outside: its content enters the source only as literals and under
checked names. What a declaration cannot express is left out and listed; an endpoint that requires it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from generations.catalogue.importing.document import CannotDeclare, Document
from generations.catalogue.importing.files import declare_files
from generations.catalogue.importing.inputs import declare_inputs
from generations.catalogue.importing.source import Draft, ListPrice, render

__all__ = ["CannotDeclare", "ListPrice", "declaration", "slug_of"]

ENDPOINT = re.compile(r"[a-z0-9][\w.-]{0,60}(/[\w.-]{1,60}){1,6}", re.ASCII | re.IGNORECASE)
SLUG = re.compile(r"[a-z][a-z0-9.-]{0,60}")


def slug_of(endpoint: str) -> str:
    """Return a slug for this endpoint: "fal-ai/flux/dev" becomes "flux-dev"."""
    parts = endpoint.removeprefix("fal-ai/").lower().replace("_", "-").split("/")
    return "-".join(parts)[:60]


def declaration(raw: Mapping[str, Any], *, endpoint: str, slug: str, price: ListPrice, on: date) -> str:
    """Return the source of a module that declares the model.

    Args:
        raw: fal's OpenAPI document, as `platform.openapi` returns it.
        price: fal's list price, or a fixed price per generation.
        on: The day of the import, for the module's docstring.

    Raises:
        CannotDeclare: A required input, the files or the price cannot be declared. The message says what to do.
    """
    if not ENDPOINT.fullmatch(endpoint) or not SLUG.fullmatch(slug):
        raise CannotDeclare(
            "The endpoint or the slug has characters that are not allowed. Give a --slug of a-z, 0-9, dots and hyphens."
        )
    document = Document(raw)
    inputs, left_out = declare_inputs(document)
    draft = Draft(
        document=document,
        endpoint=endpoint,
        slug=slug,
        inputs=inputs,
        left_out=left_out,
        files=declare_files(document),
    )
    return render(draft, price=price, on=on)
