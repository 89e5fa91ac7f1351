"""The WSGI application. The web server loads it once in each of its processes."""

import os

from django.apps import apps
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()
apps.get_app_config("generations").start_web_process()  # type: ignore[attr-defined]
