"""`manage.py import_model`: writes the declaration of a model from fal's OpenAPI document of an endpoint.

`generations.catalogue.importing` writes the source. The command checks that the source can be imported before it
prints or saves it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from database import clock
from generations.catalogue import MODELS, Model, find_by_endpoint, imported, importing
from generations.catalogue.importing import CannotDeclare, ListPrice
from generations.fal import FalError, platform
from generations.fal.errors import Gone
from generations.provider import clients


class Command(BaseCommand):
    help = "Print the declaration of a model, made from fal's OpenAPI document of ENDPOINT; with --write, save it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("endpoint", help="the id of the model at fal, for example fal-ai/flux/dev")
        parser.add_argument("--slug", help="the slug of the model (default: made from the endpoint)")
        parser.add_argument("--credits", type=int, help="the price of an order, if fal's list price does not fit")
        parser.add_argument("--write", action="store_true", help="save it in generations/catalogue/imported/")
        parser.add_argument("--folder", type=Path, help="with --write: save it in another folder")

    def handle(self, *args: Any, endpoint: str, **options: Any) -> None:
        known = find_by_endpoint(endpoint)
        if known is not None and options["slug"] is None:
            raise CommandError(f"{endpoint} can be ordered already, as {known.slug}. Give a --slug for a second entry.")
        slug = options["slug"] or importing.slug_of(endpoint)
        if slug in MODELS:
            raise CommandError(f"There is a model “{slug}” already. Give another --slug.")
        try:
            document = platform.openapi(clients.fal(), endpoint)
            price = ListPrice(credits=options["credits"]) if options["credits"] is not None else _list_price(endpoint)
            source = importing.declaration(document, endpoint=endpoint, slug=slug, price=price, on=clock.now().date())
        except Gone as error:
            raise CommandError(f"fal has no endpoint “{endpoint}”.") from error
        except FalError as error:
            raise CommandError(f"fal did not answer: {error}") from error
        except CannotDeclare as error:
            raise CommandError(str(error)) from error
        # A source that cannot be imported would keep Limn from starting. Executing it is safe: text from fal is in it
        # only as literals.
        namespace: dict[str, Any] = {"__name__": "imported_model"}
        exec(compile(source, "<imported model>", "exec", dont_inherit=True), namespace)  # noqa: S102
        model = next(value for value in namespace.values() if isinstance(value, Model))
        model.expected_files(model.inputs.model_construct())
        if options["write"]:
            self._write(slug, source, options["folder"] or Path(imported.__path__[0]))
        else:
            self.stdout.write(source, ending="")

    def _write(self, slug: str, source: str, folder: Path) -> None:
        path = folder / f"{re.sub(r'[^a-z0-9]+', '_', slug)}.py"
        try:
            with path.open("x") as file:
                file.write(source)
        except FileExistsError as error:
            raise CommandError(f"{path.name} exists already. Remove it, or give another --slug.") from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written ({error.strerror}). Print it instead.") from error
        self.stdout.write(f"{path.name} is written. Review it, then restart Limn to offer “{slug}”.")


def _list_price(endpoint: str) -> ListPrice:
    listed = platform.prices(clients.fal(), [endpoint]).get(endpoint)
    if listed is None:
        raise CommandError(f"fal lists no price for {endpoint}. Give the price of an order: --credits.")
    return ListPrice.of(listed.dollars, listed.unit)
