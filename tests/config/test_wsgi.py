"""The WSGI application gives Django the request alone, not the environment of the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quality.chaos.processes import ROOT

pytestmark = [pytest.mark.once, pytest.mark.slow]

# As granian does, which copies the variables of the process into the environ of each request.
PROGRAM = """
import os
from django.core.handlers.wsgi import WSGIHandler

WSGIHandler.__call__ = lambda self, environ, start_response: print(*sorted(environ)) or []

from config.wsgi import application

application({**os.environ, "PATH_INFO": "/", "HTTP_HOST": "limn.example", "wsgi.version": (1, 0)}, None)
"""


def test_a_request_has_no_variables_of_the_process() -> None:
    environment = {**os.environ, "FAL_KEY": "only-for-tests"}

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    assert ended.stdout.split() == ["HTTP_HOST", "PATH_INFO", "wsgi.version"]
