"""The composition root as a Django app, so that its checks and commands are found."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

from config import huey_tables


class LimnConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        # Of an app without tables of its own, such as this one, Django tells nobody that it was migrated.
        post_migrate.connect(huey_tables.make_tables, sender=apps.get_app_config("generations"))
        from config import checks  # noqa: F401, PLC0415  (registers them; apps are loaded only now)
