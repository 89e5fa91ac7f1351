"""The commands of the pages in docs/tasks, as somebody would type them, against a whole Limn on a socket."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from PIL import Image
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from credits import ledger
from credits.models import Account
from generations import lifecycle
from generations.catalogue import find
from generations.models import Generation
from generations.ordering.orders import Order
from simulator import Simulator
from tests.helpers.background_work import at_work
from tests.services.waiting import HANG_SECONDS, until

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "tasks").glob("*.md"))

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def customer(fal: Simulator) -> User:
    user = User.objects.create_user("alice")
    ledger.grant(Account.objects.for_user(user), 10_000, key="alice", actor="test")
    return user


@pytest.fixture
def working(fal: Simulator) -> Iterator[None]:
    """The background work goes on beside the commands."""
    with at_work():
        yield


def made_before(customer: User) -> str:
    """A picture of an earlier order, by the background work: a second one beside it would take its leases away."""
    model, asked = find("flux-schnell"), {"prompt": "a boat", "output_format": "png"}
    wish = Order(model=model, inputs=model.read(asked), raw_input=asked)
    generation, _ = lifecycle.order(Account.objects.for_user(customer), wish, actor="test")
    until(generation.outputs.stored().exists)
    return str(generation.outputs.get().pk)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(
    page: Path, live_limn: LiveServer, customer: User, working: None, tmp_path: Path
) -> None:
    commands = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (512, 512), "teal").save(picture)
    told = {
        "LIMN": live_limn.url,
        "TOKEN": api_keys.issue(customer, "test").plain,
        "OUTPUT": made_before(customer),
        "PICTURE": str(picture),
    }

    ran = subprocess.run(
        ["bash", "-c", "set -euo pipefail\n" + "\n".join(commands)],
        env={**os.environ, "no_proxy": "*", **told},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )

    assert (len(commands) > 0, ran.returncode) == (True, 0), ran.stdout + ran.stderr
    assert not Generation.objects.filter(failure_code="invalid_input").exists()
