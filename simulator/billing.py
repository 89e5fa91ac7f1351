"""What the simulator bills, by its own log alone: prices, billed units, and the billing events of the Platform API.

It reads the catalogue for prices, and nothing of what anybody noted about an order: who compares his books with
these compares two accounts of the same thing.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from generations.catalogue import InvalidInput, Model, find_by_endpoint
from generations.catalogue.prices import CREDITS_PER_DOLLAR
from simulator.log import Log
from simulator.records import Request
from simulator.scenarios import read

FOREIGN_ENDPOINT = "fal-ai/somebody-elses/model"
PLACES = Decimal("0.000001")


@dataclass(frozen=True, kw_only=True)
class UnitPrice:
    """What fal's price list says of an endpoint."""

    endpoint: str
    dollars: Decimal
    unit: str


@dataclass(frozen=True, kw_only=True)
class Charge:
    """A line of fal's bill."""

    request_id: str
    endpoint: str
    at: float
    units: Decimal
    unit_price: Decimal

    @property
    def dollars(self) -> Decimal:
        return self.units * self.unit_price


class Bill:
    """fal's accounts of one customer."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._repriced: dict[str, UnitPrice] = {}

    def reprice(self, endpoint: str, *, dollars: Decimal, unit: str | None = None) -> None:
        """From now on the list says so; what was billed before counts with it, too."""
        listed = self.price(endpoint)
        if listed is None:
            raise LookupError(f"The simulator knows no endpoint {endpoint}.")
        with self._lock:
            self._repriced[endpoint] = replace(listed, dollars=dollars, unit=unit or listed.unit)

    def price(self, endpoint: str) -> UnitPrice | None:
        """The one price that the list has, with whatever it does not say: sound, resolution, options."""
        model = find_by_endpoint(endpoint)
        if model is None:
            return None
        listed = UnitPrice(endpoint=endpoint, dollars=_dollars(model.unit_price_millidollars), unit=model.price.unit)
        with self._lock:
            return self._repriced.get(endpoint, listed)

    def units(self, request: Request) -> Decimal:
        """`X-Fal-Billable-Units` of the result: how many of the list's units this job took."""
        model, plan = find_by_endpoint(request.endpoint), read(request.scenarios)
        if model is None or request.state != "COMPLETED" or request.cancelled:
            return Decimal(0)
        if request.error is not None and not plan.has("bill", "failed"):
            return Decimal(0)
        units = self._units_of(model, request)
        return _rounded(units * 2 if plan.has("bill", "double") else units)

    def charges(self) -> Iterator[Charge]:
        """Every line, oldest first."""
        for request in self._log.accepted():
            if request.state == "COMPLETED":
                yield from self._lines(request)

    def forget(self) -> None:
        with self._lock:
            self._repriced.clear()

    def _lines(self, request: Request) -> Iterable[Charge]:
        plan, price = read(request.scenarios), self.price(request.endpoint)
        at = request.completed_at or time.time()
        if plan.has("bill", "foreign"):
            # The same one whenever it is asked.
            stranger = str(uuid.uuid5(uuid.NAMESPACE_URL, request.request_id))
            price_of_theirs = {"units": Decimal(1), "unit_price": Decimal("0.04")}
            yield Charge(request_id=stranger, endpoint=FOREIGN_ENDPOINT, at=at, **price_of_theirs)
        units = self.units(request)
        if price is not None and units > 0 and not plan.has("bill", "missing"):
            yield Charge(
                request_id=request.request_id,
                endpoint=request.endpoint,
                at=at,
                units=units,
                unit_price=price.dollars,
            )

    def _units_of(self, model: Model, request: Request) -> Fraction:
        try:
            inputs = model.read(request.inputs)
        except InvalidInput:
            return Fraction(1)
        whole = Fraction(model.list_price_millidollars(inputs), model.unit_price_millidollars)
        if request.error is not None:
            return whole
        delivered = sum(model.is_paid(file.role) for file in self._log.files(request.request_id))
        # More than was ordered costs no more; it was not asked for.
        return whole * Fraction(min(delivered, model.paid_files_count(inputs)), model.paid_files_count(inputs))


def _dollars(credits: int) -> Decimal:
    return Decimal(credits) / CREDITS_PER_DOLLAR


def _rounded(units: Fraction) -> Decimal:
    exact = Decimal(units.numerator) / Decimal(units.denominator)
    return exact.quantize(PLACES).normalize() + 0
