"""The composition root as a Django app, so that its checks and commands are found."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from config import queue


class LimnConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        post_migrate.connect(queue.make_tables, sender=self)
        from config import checks  # noqa: F401, PLC0415  (registers them; apps are loaded only now)
