"""What Prometheus reads."""

from __future__ import annotations

from typing import Any

from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from operations.metrics import Collector

# As who asks on this very machine.
HERE = {"Host": "127.0.0.1"}


def samples(text: str) -> dict[tuple[Any, ...], float]:
    """By name and the values of the labels, in the order of their names: `["fal_errors_total", "cancelled"]`."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: Client) -> dict[tuple[Any, ...], float]:
    response = client.get("/metrics", headers=HERE)
    assert response.status_code == 200
    return samples(response.content.decode())


def counters(collector: Collector) -> dict[tuple[Any, ...], float]:
    """What may only rise, as this process has counted it."""
    found = [sample for family in collector.collect() if family.type != "gauge" for sample in family.samples]
    # Fractions of seconds that are added up in another order differ in their last digits.
    return {(sample.name, *sorted(sample.labels.items())): round(sample.value, 6) for sample in found}
