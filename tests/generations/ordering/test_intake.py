"""The switch: no new orders, and what is under way goes on."""

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
from tests.fixtures.limits import GENERATIONS, wish
from tests.fixtures.orders import Ordering
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db


def test_while_it_is_paused_nobody_orders_and_nothing_is_held(alice: Account, api: APIClient) -> None:
    order_intake.pause()

    no = api.post(GENERATIONS, wish())

    alice.refresh_from_db()
    assert (no.status_code, no.json()["code"], no["Retry-After"]) == (503, "paused", "60")
    assert (alice.held, Generation.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_what_is_under_way_goes_on(fal: Simulator, order: Ordering, work: Work) -> None:
    generation = order()
    order_intake.pause()

    assert work.to_the_end(generation).status == Status.COMPLETED


def test_resumed_it_takes_orders_again(order: Ordering) -> None:
    order_intake.pause()
    order_intake.resume()

    assert order().status == Status.PENDING


def test_pausing_twice_keeps_the_first_reason_and_resuming_twice_is_nothing() -> None:
    answers = [order_intake.pause("fal is on fire"), order_intake.pause("lunch"), str(OrderIntake.objects.get())]
    answers += [order_intake.resume(), order_intake.resume(), str(OrderIntake.objects.get())]

    assert answers == [True, False, "paused: fal is on fire", True, False, "open"]


def test_the_command_pauses_resumes_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["status"], ["pause", "--reason", "fire"], ["status"], ["resume"]):
        call_command("intake", *words)

    said = ["Intake is open.", "Intake is paused: fire.", "Intake is paused: fire.", "Intake is open."]
    assert capsys.readouterr().out.splitlines() == said


def test_a_page_says_so_and_keeps_what_was_typed(client: Client, alice: Account) -> None:
    client.force_login(alice.user)
    order_intake.pause()

    page = client.post("/new/flux-schnell/", {"prompt": "a purple fox"})

    assert page.status_code == 429
    assert "New orders are paused" in page.text
    assert "a purple fox" in page.text


@pytest.mark.parametrize("permission, paused", [("view_orderintake", False), ("change_orderintake", True)])
def test_staff_press_a_button_if_they_may_and_every_admin_page_tells(
    client: Client, permission: str, paused: bool
) -> None:
    sam = User.objects.create_user("sam", is_staff=True)
    sam.user_permissions.set(Permission.objects.filter(codename__in={permission, "view_orderintake"}))
    client.force_login(sam)
    switch = "/admin/generations/orderintake/"
    assert client.get(switch).status_code == 200

    client.post(switch, {"action": "pause", "_selected_action": ["1"]})

    assert order_intake.is_paused() is paused
    assert ("New orders are paused since" in client.get("/admin/").text) is paused


def test_staff_resume_with_a_button(client: Client) -> None:
    client.force_login(User.objects.create_superuser("chief"))
    order_intake.pause()

    client.post("/admin/generations/orderintake/", {"action": "resume", "_selected_action": ["1"]})

    assert not order_intake.is_paused()
