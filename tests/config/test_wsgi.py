"""The WSGI application gives Django the request alone, not the environment of the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from quality.chaos.processes import ROOT

pytestmark = [pytest.mark.once, pytest.mark.slow]

# As granian does: the variables of the process first, and over them what it sets for the request.
PROGRAM = """
import os
from django.core.handlers.wsgi import WSGIHandler

def answer(self, environ, start_response):
    print(*(f"{name}={environ[name]}" for name in sorted(environ)))
    return []

WSGIHandler.__call__ = answer

from config.wsgi import application

application({**os.environ, "PATH_INFO": "/", "HTTP_HOST": "limn.example", "wsgi.multithread": True}, None)
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"FAL_KEY": "secret"},
        {"HTTP_PROXY": "http://name:secret@proxy:3128"},
        {"PATH_INFO": "/elsewhere", "HTTP_HOST": "elsewhere"},
        {"PATH_INFO": "/"},
    ],
)
def test_a_request_has_no_variables_of_the_process(variables: dict[str, str]) -> None:
    environment = {**os.environ, "FAL_KEY": "only-for-tests", **variables}

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )

    shown = [each for each in ended.stdout.split() if not each.startswith("SERVER_SOFTWARE=")]
    assert shown == ["HTTP_HOST=limn.example", "PATH_INFO=/", "wsgi.multithread=True"]
