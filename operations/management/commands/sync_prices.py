"""Print where fal's price list and the catalogue differ; exit code 1 when they do."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations.catalogue import MODELS, Model
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from generations.fal import FalError, platform
from generations.fal.platform import UnitPrice
from generations.provider import clients


class Command(BaseCommand):
    help = "Compare the catalogue's prices with fal's pricing API. Changes nothing; exit code 1 when they differ."

    def handle(self, *args: Any, **options: Any) -> None:
        models = list(MODELS.values())
        try:
            listed = platform.prices(clients.fal(), sorted({model.endpoint for model in models}))
        except FalError as error:
            raise CommandError(f"fal's prices cannot be read: {error}") from error
        drift = list(_drift(models, listed))
        if drift:
            advice = "Correct the declarations, or answer with an entry of the price book in the admin."
            raise CommandError("\n".join([f"{len(drift)} of {len(models)} prices differ:", *drift, advice]))
        self.stdout.write(f"{len(models)} prices are as fal lists them.")


def _drift(models: list[Model], listed: Mapping[str, UnitPrice]) -> Iterator[str]:
    for model in models:
        price = listed.get(model.endpoint)
        ours = f"{model.unit_price_millidollars} credits for each of {model.price.unit}"
        if price is None:
            yield f"{model.slug}: we say {ours}, fal lists no price for {model.endpoint}"
        elif (
            _alike(price.unit) != _alike(model.price.unit)
            or price.dollars * CREDITS_PER_DOLLAR != model.unit_price_millidollars
        ):
            yield f"{model.slug}: we say {ours}, fal lists {_credits(price.dollars)} for each of {price.unit}"


def _alike(unit: str) -> str:
    """fal writes “image” here and “images” there."""
    return unit.strip().lower().removesuffix("s")


def _credits(dollars: Decimal) -> str:
    return f"{(dollars * CREDITS_PER_DOLLAR).normalize():f} credits ({dollars.normalize():f} USD)"
