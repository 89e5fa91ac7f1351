"""Make a catalogue entry from fal's own description of an endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from generations.catalogue import MODELS, Model, find_by_endpoint, imported, importing
from generations.catalogue.importing import CannotDeclare, ListPrice
from generations.fal import FalError, platform
from generations.fal.errors import Gone
from generations.provider import clients


class Command(BaseCommand):
    help = "Print a declaration of fal's ENDPOINT, made from its OpenAPI document; with --write, keep it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("endpoint", help="fal's id, for example fal-ai/flux/dev")
        parser.add_argument("--slug", help="our name for it (default: made from the endpoint)")
        parser.add_argument("--credits", type=int, help="a price an order, where fal's list has none that fits")
        parser.add_argument("--write", action="store_true", help="write it to generations/catalogue/imported/")
        parser.add_argument("--folder", type=Path, help="with --write: another folder")

    def handle(self, *args: Any, endpoint: str, **options: Any) -> None:
        slug = self._slug(endpoint, options["slug"])
        try:
            document = platform.openapi(clients.fal(), endpoint)
            price = self._price(endpoint, options["credits"])
            source = importing.declaration(
                document, endpoint=endpoint, slug=slug, price=price, on=timezone.now().date()
            )
        except Gone as error:
            raise CommandError(f"fal knows no endpoint “{endpoint}”.") from error
        except FalError as error:
            raise CommandError(f"fal cannot be asked: {error}") from error
        except CannotDeclare as error:
            raise CommandError(str(error)) from error
        _try(source)
        if options["write"]:
            self._write(slug, source, options["folder"] or Path(imported.__path__[0]))
        else:
            self.stdout.write(source, ending="")

    def _slug(self, endpoint: str, wanted: str | None) -> str:
        if wanted is None and (known := find_by_endpoint(endpoint)) is not None:
            raise CommandError(f"{endpoint} is on offer already, as {known.slug}. For a second entry give a --slug.")
        slug = wanted or importing.slug_of(endpoint)
        if slug in MODELS:
            raise CommandError(f"There is a model “{slug}” already. Give another --slug.")
        return slug

    def _price(self, endpoint: str, credits: int | None) -> ListPrice:
        if credits is not None:
            return ListPrice(credits=credits)
        listed = platform.prices(clients.fal(), [endpoint]).get(endpoint)
        if listed is None:
            raise CommandError(f"fal lists no price for {endpoint}. Say what an order shall cost: --credits.")
        return ListPrice.of(listed.dollars, listed.unit)

    def _write(self, slug: str, source: str, folder: Path) -> None:
        path = folder / f"{re.sub(r'[^a-z0-9]+', '_', slug)}.py"
        try:
            with path.open("x") as file:
                file.write(source)
        except FileExistsError as error:
            raise CommandError(f"{path.name} is there already. Remove it, or give another --slug.") from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written ({error.strerror}). Print it instead.") from error
        self.stdout.write(f"{path.name} is written. Read it over, then restart Limn: “{slug}” is on offer.")


def _try(source: str) -> None:
    """What cannot be imported is not handed out. The source is ours: the document is in it as literals alone."""
    namespace: dict[str, Any] = {"__name__": "imported_model"}
    exec(compile(source, "<imported model>", "exec", dont_inherit=True), namespace)  # noqa: S102
    model = next(thing for thing in namespace.values() if isinstance(thing, Model))
    model.expected_files(model.inputs.model_construct())
