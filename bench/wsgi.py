"""The WSGI application of the bench: Django must be set up before `bench.endpoint` can be imported."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from bench.endpoint import application  # noqa: E402

__all__ = ["application"]
