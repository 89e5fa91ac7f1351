"""The commands of docs/uploads.md work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from generations.models import Generation
from simulator import Simulator
from tests.helpers.images import picture
from tests.helpers.source import ROOT

PAGE = (ROOT / "docs/uploads.md").read_text()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
def test_the_commands_of_the_page_upload_and_order(
    live_limn: LiveServer, alice: User, fal: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "fox.png").write_bytes(picture())
    (script,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    environment = {**os.environ, "LIMN": live_limn.url, "TOKEN": api_keys.issue(alice, "docs").plain, "NO_PROXY": "*"}

    result = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout.split()) == (0, ["ready", "processing"]), result.stderr
    assert Generation.objects.get().input_files.count() == 1
