"""`manage.py sync_prices`: prints where fal's price list and the catalogue differ. Exit status 1 if they do."""

from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from generations.catalogue import MODELS
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from generations.fal import FalError, platform
from generations.provider import clients


class Command(BaseCommand):
    help = "Compare the catalogue with fal's price list. Changes nothing. Exits with status 1 if the prices differ."

    def handle(self, *args: Any, **options: Any) -> None:
        models = list(MODELS.values())
        try:
            listed = platform.prices(clients.fal(), sorted({model.endpoint for model in models}))
        except FalError as error:
            raise CommandError(f"fal's prices cannot be read: {error}") from error
        differences = []
        for model in models:
            price = listed.get(model.endpoint)
            declared = f"the catalogue has {model.unit_price_millidollars} credits per unit ({model.price.unit})"
            if price is None:
                differences.append(f"{model.slug}: {declared}, fal lists no price for {model.endpoint}")
                continue
            credits = price.dollars * CREDITS_PER_DOLLAR
            if singular(price.unit) != singular(model.price.unit) or credits != model.unit_price_millidollars:
                fal_price = f"{_decimal(credits)} credits ({_decimal(price.dollars)} USD) per unit ({price.unit})"
                differences.append(f"{model.slug}: {declared}, fal lists {fal_price}")
        if differences:
            advice = "Correct the declarations, or set other prices in the price book (admin)."
            title = f"{len(differences)} of {len(models)} prices differ:"
            raise CommandError("\n".join([title, *differences, advice]))
        self.stdout.write(f"{len(models)} prices agree with fal's price list.")


def singular(unit: str) -> str:
    """Return the unit in the singular: fal writes “image” for some endpoints and “images” for others."""
    return unit.strip().lower().removesuffix("s")


def _decimal(number: Decimal) -> str:
    return f"{number.normalize():f}"
