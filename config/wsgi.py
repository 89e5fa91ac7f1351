"""The WSGI application. The web server loads it once in each of its processes."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()
apps.get_app_config("generations").start_web_process()  # type: ignore[attr-defined]
# The names that the gateway interface gives to a request are the request's own.
_VARIABLES = [
    name for name in os.environ if not name.startswith(("HTTP_", "SERVER_", "REQUEST_", "SCRIPT_", "CONTENT_"))
]


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request, without the variables of the process, which granian copies into each `environ`.

    They contain secrets, and Django would show them on its error page. It also reads each name for a header.
    """
    for name in _VARIABLES:
        environ.pop(name, None)
    return _django(environ, start_response)
