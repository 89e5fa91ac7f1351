"""Configuration of the `credits` app: the ledger, its admin and its commands."""

from django.apps import AppConfig


class CreditsConfig(AppConfig):
    name = "credits"
    verbose_name = "Credits"
