"""The WSGI application that `manage.py serve` runs."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
application = get_wsgi_application()

from generations.callbacks import rejections  # noqa: E402  (models can be imported from here on)

rejections.start_flushing()
