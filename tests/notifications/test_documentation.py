"""docs/webhooks.md is correct: its commands run, and its receiver accepts what Limn signs and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
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
from tests.fixtures.api import PlaceOrder
from tests.helpers.source import ROOT
from tests.notifications.conftest import PUBLIC_URL, AddEndpoint, Poll
from tests.notifications.webhook_receiver import Receiver
from tests.services.processes import Processes
from tests.services.waiting import HANG_SECONDS, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
PAGE = (ROOT / "docs/webhooks.md").read_text()


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def running_receiver(secret: str, port: int, output: Path) -> Iterator[None]:
    """Runs the receiver of the page. What it prints goes to the file."""

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/", timeout=1).status_code == 501
        except requests.RequestException:
            return False

    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code_blocks("python")[0]],
            env={**os.environ, "SECRET": secret, "PORT": str(port)},
            stdout=file,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(answers, what="the receiver of the page")
            yield
        finally:
            process.kill()
            process.wait()


def test_the_receiver_accepts_signed_messages_only(add_endpoint: AddEndpoint, poll: Poll, tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "output"
    endpoint = add_endpoint(f"http://127.0.0.1:{port}/webhooks")
    delivery = outbox.send_test(endpoint)

    with running_receiver(endpoints.current_secret(endpoint), port, output):
        poll()
        outbox.resend(delivery)
        poll()
        forged = requests.post(f"http://127.0.0.1:{port}/webhooks", json={"type": "forged"}, timeout=HANG_SECONDS)

    assert forged.status_code == 401
    assert list(delivery.log.values_list("status", flat=True)) == [204, 204]
    assert output.read_text().split() == ["webhook.test"]


def test_the_commands_run(live_limn: LiveServer, alice: User, completed: PlaceOrder) -> None:
    completed()
    token = api_keys.issue(alice, "docs").plain
    environment = {**os.environ, "LIMN": live_limn.url, "TOKEN": token, "HOOK": PUBLIC_URL}

    responses = [
        json.loads(subprocess.run(["sh", "-c", command], env=environment, capture_output=True, check=True).stdout)
        for command in code_blocks("sh")
        if command.startswith("curl")
    ]

    assert responses[0]["secret"] == endpoints.current_secret(WebhookEndpoint.objects.get())
    assert [event["fact"] for event in responses[1]["results"]][-1] == "completed"


def test_the_page_lists_every_type_and_every_delay() -> None:
    types = [value for value, _ in WebhookDelivery._meta.get_field("type").flatchoices]

    assert [kind for kind in types if f"| `{kind}` |" not in PAGE] == []
    hours = [hours * 3600 for hours in (2, 5, 10, 14, 20, 24)]
    assert list(RETRY_DELAYS_SECONDS) == [0, 5, 5 * 60, 30 * 60, *hours]
    assert "after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 h" in PAGE


def test_the_worker_process_sends_webhooks(limn: Processes, add_endpoint: AddEndpoint, receiver: Receiver) -> None:
    delivery = outbox.send_test(add_endpoint(receiver.url))

    limn("work")

    until(lambda: receiver.ids == [delivery.webhook_id], what="the message")
    until(lambda: WebhookDelivery.objects.get().state == "delivered")
    assert delivery.log.get().status == 204
