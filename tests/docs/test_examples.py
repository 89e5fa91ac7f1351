"""The shell blocks of the documentation are run, page by page, against a complete Limn on a socket."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from credits import ledger
from credits.models import Account
from generations.models import Generation, Output
from quality.structure.source import ROOT
from simulator import Simulator
from tests.conftest import url_of_the_test_database
from tests.docs.pages import PAGES, Page
from tests.helpers.background_work import running_workers
from tests.helpers.images import picture
from tests.services.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

# These tests run the blocks of a page and check its results in detail.
TESTED_ELSEWHERE = {
    "docs/uploads.md": "tests/generations/files/uploads/test_documentation.py",
    "docs/webhooks.md": "tests/notifications/test_documentation.py",
}
RUN = [page for page in PAGES if any(block.language == "sh" and block.is_run for block in page.blocks)]


@pytest.fixture
def customer(fal: Simulator) -> User:
    """A user whom `manage.py generate` takes by default."""
    user = User.objects.create_user("demo")
    ledger.grant(Account.objects.for_user(user), 10_000, key="demo", actor="test")
    return user


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The workers run while the commands do."""
    with running_workers():
        yield


@pytest.fixture
def values(live_limn: LiveServer, customer: User, working: None, tmp_path: Path) -> dict[str, str]:
    """The variables that the pages use: a key, an image, and a completed generation in a batch."""
    image, token = tmp_path / "picture.png", api_keys.issue(customer, "docs").plain
    image.write_bytes(picture())
    headers = {"Authorization": f"Token {token}"}
    order = {"model": "flux-schnell", "inputs": [{"prompt": "a boat", "output_format": "png"}]}
    batch = requests.post(f"{live_limn.url}/api/v1/batches/", json=order, headers=headers, timeout=60).json()
    until(Output.objects.stored().exists)
    output = Output.objects.get()
    return {
        "LIMN": live_limn.url,
        "TOKEN": token,
        "BATCH": batch["id"],
        "ID": str(output.generation_id),
        "OUTPUT": str(output.pk),
        "IMAGE": str(image),
        "DATABASE_URL": url_of_the_test_database(),
    }


def script_of(page: Page, values: dict[str, str]) -> str:
    """The blocks of a page as one script. The README shows values where other pages have variables."""
    script = "\n".join(block.code for block in page.blocks if block.language == "sh" and block.is_run)
    for shown, name in {"http://127.0.0.1:8000": "LIMN", "limn_…": "TOKEN", "019…": "ID"}.items():
        script = script.replace(shown, values[name])
    return f"set -euo pipefail\n{script}"


@pytest.mark.parametrize(
    "page", [page for page in RUN if page.name not in TESTED_ELSEWHERE], ids=lambda page: page.name
)
def test_the_commands_of_a_page_succeed(page: Page, values: dict[str, str], tmp_path: Path) -> None:
    # The folder looks like a checkout, and receives the files that the commands write.
    (tmp_path / "manage.py").symlink_to(ROOT / "manage.py")
    (tmp_path / ".venv").symlink_to(sys.prefix)

    ran = subprocess.run(
        ["bash", "-c", script_of(page, values)],
        env={**os.environ, "no_proxy": "*", **values},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not Generation.objects.filter(failure_code="invalid_input").exists()


def test_every_page_with_commands_is_run() -> None:
    names = {page.name for page in RUN}

    assert {"README.md", "docs/operations.md", "docs/tasks/make-an-image.md"} < names
    assert {
        page: test for page, test in TESTED_ELSEWHERE.items() if page not in names or not (ROOT / test).exists()
    } == {}
