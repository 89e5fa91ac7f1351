"""The switch that pauses new orders: everywhere, while generations that were ordered before continue."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from credits.models import Account
from generations.models import Generation, OrderIntake, Status
from generations.ordering import order_intake
from simulator import Simulator
from tests.fixtures.limits import GENERATIONS, order_body
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db
SWITCH = "/admin/generations/orderintake/"


def test_while_orders_are_paused_none_is_accepted(alice: Account, api: APIClient) -> None:
    order_intake.pause()

    refused = api.post(GENERATIONS, order_body())

    alice.refresh_from_db()
    assert (refused.status_code, refused.json()["code"], refused["Retry-After"]) == (503, "paused", "60")
    assert (alice.held, Generation.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_generation_in_progress_continues(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order()
    order_intake.pause()

    assert work.until_done(generation).status == Status.COMPLETED


def test_after_resuming_orders_are_accepted(order: PlaceOrder) -> None:
    order_intake.pause()
    order_intake.resume()

    assert order().status == Status.PENDING


def test_pausing_again_keeps_the_first_reason_and_resuming_again_changes_nothing() -> None:
    results = [order_intake.pause("fal is on fire"), order_intake.pause("lunch"), str(OrderIntake.objects.get())]
    results += [order_intake.resume(), order_intake.resume(), str(OrderIntake.objects.get())]

    assert results == [True, False, "paused: fal is on fire", True, False, "open"]


def test_the_command_pauses_resumes_and_shows_the_state(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status"], ["pause", "--reason", "fire"], ["status"], ["resume"]):
        call_command("intake", *arguments)

    states = ["open.", "paused: fire.", "paused: fire.", "open."]
    assert capsys.readouterr().out.splitlines() == [f"Order intake is {state}" for state in states]


def test_a_page_says_so_and_keeps_the_form(client: Client, alice: Account) -> None:
    client.force_login(alice.user)
    order_intake.pause()

    page = client.post("/new/flux-schnell/", {"prompt": "a purple fox"})

    assert page.status_code == 429
    assert "New orders are paused" in page.text
    assert "a purple fox" in page.text


@pytest.mark.parametrize("permission, paused", [("view_orderintake", False), ("change_orderintake", True)])
def test_staff_with_the_permission_pause_orders_in_the_admin(client: Client, permission: str, paused: bool) -> None:
    """Every page of the admin then says so."""
    sam = User.objects.create_user("sam", is_staff=True)
    sam.user_permissions.set(Permission.objects.filter(codename__in={permission, "view_orderintake"}))
    client.force_login(sam)
    assert client.get(SWITCH).status_code == 200

    client.post(SWITCH, {"action": "pause", "_selected_action": ["1"]})

    assert order_intake.is_paused() is paused
    assert ("New orders have been paused since" in client.get("/admin/").text) is paused


def test_staff_resume_orders_in_the_admin(client: Client) -> None:
    client.force_login(User.objects.create_superuser("chief"))
    order_intake.pause()

    client.post(SWITCH, {"action": "resume", "_selected_action": ["1"]})

    assert not order_intake.is_paused()
