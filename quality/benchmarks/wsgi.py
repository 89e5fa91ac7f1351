"""The WSGI application of the web server benchmark. Django is set up before the endpoint can be imported."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from quality.benchmarks.endpoint import application  # noqa: E402

__all__ = ["application"]
