"""The Django app of operations: metrics, alerts, invariants, and the comparison with fal's bill."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "operations"
    verbose_name = "Operations"
