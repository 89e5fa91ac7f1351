"""docs/webhooks.md is true: its commands run, its receiver believes what Limn sends and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from accounts import api_keys
from config.management.ports import free_port
from notifications import endpoints, outbox
from notifications.models import WebhookDelivery, WebhookEndpoint
from notifications.outbox import RETRY_DELAYS_SECONDS
from tests.fixtures.api import Ordering
from tests.helpers.source import ROOT
from tests.notifications.conftest import Listen
from tests.notifications.webhook_receiver import Receiver
from tests.services.processes import Processes
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
PAGE = (ROOT / "docs/webhooks.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def running_receiver(secret: str, port: int, said: Path) -> Iterator[None]:
    with said.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", blocks("python")[0]],
            env={**os.environ, "SECRET": secret, "PORT": str(port)},
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _answers(port), what="the receiver of the page")
            yield
        finally:
            process.kill()
            process.wait()


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/", timeout=1).status_code == 501
    except requests.ConnectionError:
        return False


def test_its_receiver_takes_what_we_sign_and_believes_nobody_else(
    listen: Listen, turn: Callable[[], int], tmp_path: Path
) -> None:
    port, said = free_port(), tmp_path / "said"
    endpoint = listen(f"http://127.0.0.1:{port}/told")
    delivery = outbox.send_test(endpoint)

    with running_receiver(endpoints.current_secret(endpoint), port, said):
        turn()
        outbox.resend(delivery)
        turn()
        forged = requests.post(f"http://127.0.0.1:{port}/told", json={"type": "forged"}, timeout=HANG_SECONDS)

    assert forged.status_code == 401
    assert list(delivery.log.values_list("status", flat=True)) == [204, 204]
    assert said.read_text().split() == ["webhook.test"]


def test_its_commands_run(live_limn: LiveServer, alice: User, completed: Ordering) -> None:
    completed()
    environment = {**os.environ, "LIMN": live_limn.url, "TOKEN": api_keys.issue(alice, "docs").plain}
    environment["HOOK"] = "https://example.com/told"

    answers = [
        json.loads(subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=True).stdout)
        for command in blocks("sh")
        if command.startswith("curl")
    ]

    assert answers[0]["secret"] == endpoints.current_secret(WebhookEndpoint.objects.get())
    assert [event["fact"] for event in answers[1]["results"]][-1] == "completed"


def test_every_type_and_every_pause_is_on_the_page() -> None:
    types = [value for value, _ in WebhookDelivery._meta.get_field("type").flatchoices]

    assert [kind for kind in types if f"| `{kind}` |" not in PAGE] == []
    assert (0, 5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24))) == RETRY_DELAYS_SECONDS
    assert "after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h" in PAGE


def test_the_background_work_of_limn_sends_them(limn: Processes, listen: Listen, receiver: Receiver) -> None:
    delivery = outbox.send_test(listen(receiver.url))

    limn("work")

    until(lambda: receiver.ids == [delivery.webhook_id], what="the message")
    until(lambda: WebhookDelivery.objects.get().state == "delivered")
    assert delivery.log.get().status == 204
