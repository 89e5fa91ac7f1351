"""What fal bills: list prices, the billed units of each request, and the billing events of the Platform API.

All of it is computed from the simulator's own log and the catalogue's list prices, never from Limn's database. Limn's
own accounts can therefore be checked against it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from generations.catalogue import InvalidInput, find_by_endpoint
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from simulator.log import Log
from simulator.records import Request
from simulator.scenarios import parse

FOREIGN_ENDPOINT = "fal-ai/another-account/model"
FOREIGN_PRICE = Decimal("0.04")
UNIT_PLACES = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class ListPrice:
    """The entry of one endpoint in fal's price list."""

    endpoint: str
    dollars: Decimal
    """US dollars per unit."""
    unit: str
    """What is counted, such as `images` or `seconds`."""


@dataclass(frozen=True, kw_only=True)
class BillingEvent:
    """One line of the bill."""

    request_id: str
    endpoint: str
    at: float
    units: Decimal
    unit_price: Decimal
    """US dollars per unit."""

    @property
    def dollars(self) -> Decimal:
        """The amount of the line."""
        return self.units * self.unit_price


class Bill:
    """The price list and the bill of the simulator's one account."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._changed_prices: dict[str, ListPrice] = {}

    def reprice(self, endpoint: str, *, dollars: Decimal, unit: str | None = None) -> None:
        """Change the list price of an endpoint. Earlier requests are billed with the new price too.

        Raises LookupError if the catalogue has no such endpoint.
        """
        listed = self.price(endpoint)
        if listed is None:
            raise LookupError(f"The simulator knows no endpoint {endpoint}.")
        with self._lock:
            self._changed_prices[endpoint] = replace(listed, dollars=dollars, unit=unit or listed.unit)

    def price(self, endpoint: str) -> ListPrice | None:
        """Return the list price of an endpoint with the model's defaults, or None for an unknown endpoint.

        Like fal's list, it has one price per endpoint: surcharges for sound, resolution or options are not in it.
        """
        model = find_by_endpoint(endpoint)
        if model is None:
            return None
        dollars = Decimal(model.unit_price_millidollars) / CREDITS_PER_DOLLAR
        listed = ListPrice(endpoint=endpoint, dollars=dollars, unit=model.price.unit)
        with self._lock:
            return self._changed_prices.get(endpoint, listed)

    def units(self, request: Request) -> Decimal:
        """Return the billed units of a request: the header `X-Fal-Billable-Units` of its result."""
        model, plan = find_by_endpoint(request.endpoint), parse(request.scenarios)
        if model is None or request.state != "COMPLETED" or request.cancelled:
            return Decimal(0)
        failed = request.error is not None
        # fal does not bill failures, unless a scenario says so.
        if failed and not plan.has("bill", "failed"):
            return Decimal(0)
        try:
            inputs = model.read(request.inputs)
        except InvalidInput:
            # Only a failed job can have invalid inputs, and only the scenario `bill:failed` bills it: one unit.
            units = Fraction(1)
        else:
            # Surcharges appear as additional units, because the list has one price per unit.
            units = Fraction(model.list_price_millidollars(inputs), model.unit_price_millidollars)
            if not failed:
                ordered = model.paid_files_count(inputs)
                delivered = sum(model.is_paid(file.role) for file in self._log.files(request.request_id))
                # Files that were not ordered cost nothing.
                units *= Fraction(min(delivered, ordered), ordered)
        if plan.has("bill", "double"):
            units *= 2
        exact = Decimal(units.numerator) / Decimal(units.denominator)
        # Adding 0 turns the negative exponent form that normalize() may return, such as 1E+1, into plain digits.
        return exact.quantize(UNIT_PLACES).normalize() + 0

    def events(self) -> Iterator[BillingEvent]:
        """Yield every line of the bill, oldest first."""
        for request in self._log.accepted():
            if request.state != "COMPLETED":
                continue
            plan, price, units = parse(request.scenarios), self.price(request.endpoint), self.units(request)
            at = request.completed_at or time.time()
            if plan.has("bill", "foreign"):
                # Derived from the request, so that every reading of the bill shows the same foreign id.
                foreign_id = str(uuid.uuid5(uuid.NAMESPACE_URL, request.request_id))
                yield BillingEvent(
                    request_id=foreign_id,
                    endpoint=FOREIGN_ENDPOINT,
                    at=at,
                    units=Decimal(1),
                    unit_price=FOREIGN_PRICE,
                )
            if price is not None and units > 0 and not plan.has("bill", "missing"):
                yield BillingEvent(
                    request_id=request.request_id,
                    endpoint=request.endpoint,
                    at=at,
                    units=units,
                    unit_price=price.dollars,
                )

    def reset(self) -> None:
        """Restore the catalogue's list prices."""
        with self._lock:
            self._changed_prices.clear()
