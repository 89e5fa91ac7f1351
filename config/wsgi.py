"""The WSGI application. The web server loads it once in each of its processes."""

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.apps import apps
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
_django = get_wsgi_application()
apps.get_app_config("generations").start_web_process()  # type: ignore[attr-defined]

from generations.workers import storage_state  # noqa: E402  (models are loaded only now)

storage_state.guard()
# The server sets these for each request, so they never have the value of the process.
_OF_REQUESTS = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR"),
    *("SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE", "GATEWAY_INTERFACE"),
)
_VARIABLES = {name: value for name, value in os.environ.items() if name not in _OF_REQUESTS}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request, without the variables of the process, which granian copies into each `environ`.

    They contain secrets, and Django would show them on its error page. `HTTP_PROXY` would be taken for a header that
    the client has sent.
    """
    for name, value in _VARIABLES.items():
        if environ.get(name) == value:
            del environ[name]
    return _django(environ, start_response)
