"""The Django app of generations, and what a process of the web server starts for it."""

from django.apps import AppConfig


class GenerationsConfig(AppConfig):
    name = "generations"
    verbose_name = "Generations"

    def start_web_process(self) -> None:
        """Start what a process of the web server needs beside its requests. Called by `config.wsgi`."""
        from generations.callbacks import rejections  # noqa: PLC0415  (models are loaded only now)

        rejections.start_flushing()
