"""Once an order is committed its client gets 202, or the page of the generation, whatever happens to the database then.

Each way to order is tried with an error at the first statement after the commit, at the second one, and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from threading import BoundedSemaphore
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, transaction
from django.test import Client
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from credits.models import Account
from database import timeouts
from generations.catalogue import find
from generations.lifecycle import placing
from generations.models import Generation
from generations.progress import durations
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, PlaceOrder
from tests.helpers.images import insert_upload
from tests.helpers.threads import at_once
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

Act = Callable[[], int]
"""Sends an order. Returns the status of the response, or the exit status of the command."""


class Outage:
    """Makes statements of the session fail when the next order has been committed."""

    def __init__(self, *, at: int, lasts: bool) -> None:
        self._at, self._lasts = at, lasts
        self._has_begun = False
        self.statements = 0
        """How many statements came after the commit."""

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if self._has_begun:
            self.statements += 1
            if self.statements == self._at or (self._lasts and self.statements > self._at):
                raise OperationalError("the database is away") from psycopg.OperationalError("away")
        elif 'INTO "generations_generation"' in sql:
            transaction.on_commit(self._begin)
        return execute(sql, *rest)

    def _begin(self) -> None:
        self._has_begun = True


class Doors:
    """Every way to order. Each method prepares an order that differs from all others, and returns how to send it."""

    def __init__(self, api: APIClient, user: User, completed: PlaceOrder, failed: PlaceOrder) -> None:
        self._api, self._completed, self._failed = api, completed, failed
        self._browser = Client(raise_request_exception=False)
        self._browser.force_login(user)
        self._prompts = (f"cat {number}" for number in count())
        upload, output = str(insert_upload(user).pk), str(completed().outputs.get().pk)
        self.response: Any = None
        """What the API has answered last."""
        self._files = {"image_urls": [{"upload": upload}, {"output": output}]}

    def _inputs(self, **inputs: Any) -> dict[str, Any]:
        return {"prompt": next(self._prompts), **inputs}

    def _post(self, url: str, body: dict[str, Any], **headers: str) -> Act:
        def post() -> int:
            self.response = self._api.post(url, body, headers=headers)
            return int(self.response.status_code)

        return post

    def _submit(self, url: str, **fields: Any) -> Act:
        return lambda: int(self._browser.post(url, self._inputs(**fields)).status_code)

    def order(self) -> Act:
        return self._post(GENERATIONS, {"model": "flux-schnell", "input": self._inputs()})

    def order_with_files(self) -> Act:
        return self._post(GENERATIONS, {"model": "nano-banana-edit", "input": self._inputs(**self._files)})

    def order_and_wait(self) -> Act:
        return self._post(GENERATIONS, {"model": "flux-schnell", "input": self._inputs()}, Prefer="wait=1")

    def batch(self) -> Act:
        inputs = [self._inputs(), self._inputs()]
        return self._post("/api/v1/batches/", {"model": "flux-schnell", "inputs": inputs})

    def batch_with_files(self) -> Act:
        inputs = [self._inputs(**self._files), self._inputs(**self._files)]
        return self._post("/api/v1/batches/", {"model": "nano-banana-edit", "inputs": inputs})

    def infographics(self) -> Act:
        return self._post("/api/v1/infographics/", self._inputs())

    def retry(self) -> Act:
        return self._post(f"{GENERATIONS}{self._failed(**self._inputs()).pk}/retry/", {})

    def again(self) -> Act:
        return self._post(f"{GENERATIONS}{self._completed(**self._inputs()).pk}/again/", {"credits": 3})

    def page(self) -> Act:
        return self._submit("/new/flux-schnell/", num_images="1", image_size="square_hd", output_format="png")

    def page_of_infographics(self) -> Act:
        return self._submit("/infographics/", aspect_ratio="16:9", resolution="1K", count="1")

    def retry_on_page(self) -> Act:
        return self._submit(f"/generations/{self._failed(**self._inputs()).pk}/retry/")

    def command(self) -> Act:
        def generate() -> int:
            with pytest.raises(CommandError) as raised:
                call_command("generate", next(self._prompts), model="flux-schnell", user="alice", timeout=0)
            return int(raised.value.returncode)

        return generate


PLACED = {"page": 302, "page_of_infographics": 302, "retry_on_page": 302, "command": 124}
"""The status of an order that was placed. For all others it is 202."""
DOORS = [name for name in vars(Doors) if not name.startswith("_")]


@pytest.fixture
def doors(
    api: APIClient,
    alice: User,
    completed: PlaceOrder,
    failed: PlaceOrder,
    patient_fal: Simulator,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Doors:
    settings.USER_RUNNING_MAX = settings.USER_REQUESTS_PER_MINUTE = 0
    Account.objects.filter(user=alice).update(balance=1_000_000)
    # Without a free slot, a request that would wait looks once.
    monkeypatch.setattr("generations.http.long_polling._slots", BoundedSemaphore(0))
    return Doors(api, alice, completed, failed)


@pytest.mark.parametrize("lasts", [False, True], ids=["error", "outage"])
@pytest.mark.parametrize("door", DOORS)
def test_a_committed_order_is_accepted_whatever_follows(
    door: str, lasts: bool, doors: Doors, patient_fal: Simulator
) -> None:
    for at in count(1):
        act, outage, before = getattr(doors, door)(), Outage(at=at, lasts=lasts), Generation.objects.count()
        patient_fal.log.clear()
        # The estimate of the duration is read again.
        cache.clear()

        with connection.execute_wrapper(outage):
            status = act()

        assert (status, Generation.objects.count() > before) == (PLACED.get(door, 202), True), at
        assert len(patient_fal.log.posts()) <= 1
        if outage.statements < at:
            break


@pytest.mark.parametrize("door", DOORS)
def test_an_error_before_the_commit_leaves_nothing(door: str, doors: Doors) -> None:
    """Negative control."""
    act, before = getattr(doors, door)(), Generation.objects.count()

    def fail(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if 'INTO "generations_generation"' in sql:
            raise OperationalError("the database is away")
        return execute(sql, *rest)

    with connection.execute_wrapper(fail):
        if door == "command":
            with pytest.raises(OperationalError):
                call_command("generate", "a cat", model="flux-schnell", user="alice")
        else:
            assert act() == 503

    assert Generation.objects.count() == before


@pytest.mark.parametrize("door", ["order", "order_with_files", "batch", "batch_with_files"])
def test_an_order_that_cannot_be_read_is_shown_as_it_was_placed(
    door: str, doors: Doors, api: APIClient, settings: Settings
) -> None:
    settings.FAL_KEY = ""  # Left to the workers, so nothing changes it.
    send = getattr(doors, door)()
    for slug in ("flux-schnell", "nano-banana-edit"):
        durations.typical_seconds(find(slug))  # Kept by the process, so the estimate is the same.

    with connection.execute_wrapper(Outage(at=1, lasts=True)):
        send()

    assert api.get(doors.response["Location"]).json() == doors.response.json()


@pytest.mark.only_postgresql
class TestLostCommit:
    """The connection is lost in COMMIT, so the client of the database does not learn whether it was executed."""

    @pytest.fixture
    def lose_connection(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
        """`lose_connection(executed=True)`: in the COMMIT of the next order, after or before the server executes it."""

        def lose(*, executed: bool) -> Any:
            has_order: list[bool] = []

            def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
                has_order.extend([True] * ('INTO "generations_generation"' in sql))
                return execute(sql, *rest)

            def commit(self: psycopg.Connection[Any]) -> None:
                if not has_order:
                    return psycopg.Connection.commit(self)
                has_order.clear()
                if executed:
                    psycopg.Connection.commit(self)
                self.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            monkeypatch.setattr(timeouts.Connection, "commit", commit)
            return connection.execute_wrapper(watch)

        return lose

    @pytest.mark.parametrize("door", ["order", "batch", "page"])
    def test_an_order_that_exists_is_accepted(self, door: str, doors: Doors, lose_connection: Any) -> None:
        send, before = getattr(doors, door)(), Generation.objects.count()

        with lose_connection(executed=True):
            assert send() == PLACED.get(door, 202)

        assert Generation.objects.count() > before

    @pytest.mark.parametrize("door", ["order", "batch", "page"])
    def test_an_order_that_does_not_exist_is_answered_503(self, door: str, doors: Doors, lose_connection: Any) -> None:
        send, before = getattr(doors, door)(), Generation.objects.count()

        with lose_connection(executed=False):
            assert send() == 503

        assert Generation.objects.count() == before

    def test_without_the_look_an_order_that_exists_is_answered_503(
        self, doors: Doors, lose_connection: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Negative control."""
        monkeypatch.setattr(placing, "_is_committed", lambda account, row: False)
        send, before = doors.order(), Generation.objects.count()

        with lose_connection(executed=True):
            assert send() == 503

        assert Generation.objects.count() == before + 1


@pytest.mark.only_postgresql
def test_of_a_hundred_orders_at_once_those_that_are_paid_are_accepted(
    api: APIClient, alice: User, patient_fal: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all others are told that credits are missing, none that the database is unavailable."""
    Account.objects.filter(user=alice).update(balance=6 * 3)
    # A hundred threads on a loaded machine wait for longer than a request may.
    database: Any = connection
    monkeypatch.setattr(timeouts, "REQUEST_SECONDS_MAX", HANG_SECONDS)
    monkeypatch.setattr(database.pool, "timeout", HANG_SECONDS)

    def order(number: int) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = 0")
        body = {"model": "flux-schnell", "input": {"prompt": f"cat {number}"}}
        return int(api.post(GENERATIONS, body).status_code)

    statuses = Counter(at_once(100, order))

    assert statuses == {202: 6, 402: 94}
    assert Generation.objects.count() == len(patient_fal.log.posts()) == 6
