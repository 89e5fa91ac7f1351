"""The composition root as a Django app, so that Django finds its checks and commands."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

from config import queue


class LimnConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        # Django sends post_migrate only for apps with tables, and this one has none.
        post_migrate.connect(queue.create_tables, sender=apps.get_app_config("generations"))
        from config import checks  # noqa: F401, PLC0415  (registers them; apps are loaded only now)
