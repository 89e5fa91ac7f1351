"""Reads the metrics that Prometheus would read."""

from __future__ import annotations

from typing import Any

from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from operations.metrics import Collector

# The page answers requests from the same machine only.
HERE = {"Host": "127.0.0.1"}


def samples(text: str) -> dict[tuple[Any, ...], float]:
    """The values by name and labels. Labels are sorted by their names: `["fal_errors_total", "cancelled"]`."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: Client) -> dict[tuple[Any, ...], float]:
    """Requests the metrics page. Returns its values as `samples` does."""
    response = client.get("/metrics", headers=HERE)
    assert response.status_code == 200
    return samples(response.content.decode())


def counters(collector: Collector) -> dict[tuple[Any, ...], float]:
    """The values of a collector that may only rise: all except the gauges."""
    found = [sample for family in collector.collect() if family.type != "gauge" for sample in family.samples]
    # Sums of fractions of seconds differ in their last digits if they are added in another order.
    return {(sample.name, *sorted(sample.labels.items())): round(sample.value, 6) for sample in found}
