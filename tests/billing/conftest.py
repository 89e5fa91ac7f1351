"""Orders, fal, and a key with which its bill can be read."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from credits import ledger
from credits.models import Account
from generations import billing, wiring
from generations.billing import Report
from generations.fal import FalClient, platform
from generations.models import Generation
from simulator import Simulator
from tests.generations.conftest import Ordering, alice, order, tidy_connections, work
from tests.generations.work import Work

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

__all__ = ["alice", "order", "tidy_connections", "work"]


@pytest.fixture
def admin_key(settings: Settings, fal: Simulator) -> str:
    settings.FAL_ADMIN_KEY = fal.environment()["FAL_ADMIN_KEY"]
    return str(settings.FAL_ADMIN_KEY)


@pytest.fixture
def client_of_fal(fal: Simulator) -> Iterator[FalClient]:
    client = FalClient(key=fal.environment()["FAL_KEY"], queue_url=fal.url)
    yield client
    client.close()


SMALL = {"width": 256, "height": 256}
Making = Callable[..., Generation]


@pytest.fixture
def make(fal: Simulator, alice: Account, order: Ordering, work: Work) -> Making:
    """`make("veo3.1", scenario="bill:double", prompt="a cat")`: ordered, and worked on to its end."""
    ledger.grant(alice, 10_000, key="for a long video", actor="test")

    def to_the_end(slug: str = "flux-schnell", *, scenario: str = "", **inputs: Any) -> Generation:
        if scenario:
            fal.script(*scenario.split())
        # Small pictures are drawn and looked at sooner, and cost as much.
        inputs |= {"prompt": "a cat", "image_size": SMALL} if slug == "flux-schnell" else {}
        return work.to_the_end(order(slug, **inputs))

    return to_the_end


def span() -> tuple[datetime, datetime]:
    now = timezone.now()
    return now - timedelta(hours=1), now + timedelta(hours=1)


def read_the_bill() -> None:
    admin, (since, until) = wiring.fal_admin(), span()
    assert admin is not None
    billing.keep(platform.billing_events(admin, since=since, until=until))


def reconciled() -> Report:
    since, until = span()
    return billing.reconcile(billing.billed(since=since, until=until), since=since, until=until)


def command(name: str, *words: str) -> str:
    """What it prints. Raises CommandError."""
    out = io.StringIO()
    call_command(name, *words, stdout=out)
    return out.getvalue()
