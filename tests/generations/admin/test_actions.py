"""Actions of staff: cancel, ask fal, revoke a key, move credits, and the switches. Each needs its own permission."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from credits.audit import audit
from credits.models import Account, Entry, Hold
from generations.models import CircuitBreaker, Generation, OrderIntake
from generations.ordering import order_intake
from generations.provider import circuit_breaker
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder
from tests.generations.admin.conftest import Staff
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
GENERATIONS = "/admin/generations/generation/"
VIEW = ("view_generation", "view_account", "view_hold", "view_apikey")


def act(client: Client, row: object, action: str) -> int:
    """Selects the row in its list and runs the action. Returns the status of the response."""
    meta = row._meta  # type: ignore[attr-defined]
    form = {"action": action, "_selected_action": [row.pk]}  # type: ignore[attr-defined]
    return client.post(f"/admin/{meta.app_label}/{meta.model_name}/", form).status_code


def credits_form(amount: int | str, reason: str = "a birthday", nonce: str = "") -> dict[str, str]:
    return {"amount": str(amount), "reason": reason, "nonce": nonce or str(uuid4())}


def url_of(row: Account | Hold, operation: str) -> str:
    return f"/admin/credits/{row._meta.model_name}/{row.pk}/{operation}/"


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.for_user(alice)


@pytest.fixture
def api_key(alice: User) -> ApiKey:
    return ApiKey.objects.create(user=alice, name="laptop", prefix="limn_abcd", digest="d" * 64)


# --- Permissions ---


@pytest.mark.parametrize(
    "permissions, status", [(VIEW, 403), (("change_generation",), 302), ((*VIEW, "change_generation"), 302)]
)
def test_actions_on_generations_need_their_permission(
    staff: Staff, order: PlaceOrder, permissions: tuple[str, ...], status: int
) -> None:
    browser, generation = staff(*permissions), order()

    assert [act(browser, generation, action) for action in ("cancel", "ask_fal")] == [status, status]


@pytest.mark.parametrize("permissions, status", [(VIEW, 403), ((*VIEW, "change_apikey"), 302)])
def test_revoking_a_key_needs_its_permission(
    staff: Staff, api_key: ApiKey, permissions: tuple[str, ...], status: int
) -> None:
    assert act(staff(*permissions), api_key, "revoke") == status
    assert ApiKey.objects.usable().exists() == (status == 403)


@pytest.mark.parametrize("permissions", [(), VIEW, ("change_generation", "change_hold", "change_entry")])
def test_moving_credits_needs_its_permission(staff: Staff, account: Account, permissions: tuple[str, ...]) -> None:
    browser = staff(*permissions)

    for operation in ("grant", "adjust"):
        assert browser.get(url_of(account, operation)).status_code == 403
        assert browser.post(url_of(account, operation), credits_form(5)).status_code == 403

    assert Entry.objects.count() == 1


def test_a_customer_is_sent_to_the_login_of_the_admin(client: Client, alice: User, account: Account) -> None:
    client.force_login(alice)

    assert client.post(url_of(account, "grant"), credits_form(5)).headers["Location"].startswith("/admin/login/")
    assert act(client, account, "cancel") == 302
    assert Entry.objects.count() == 1


def test_without_the_permission_no_button_is_shown(staff: Staff, order: PlaceOrder, account: Account) -> None:
    viewer, detail = staff(*VIEW), f"{GENERATIONS}{order().pk}/change/"

    assert 'value="cancel"' not in viewer.get(detail).text
    assert "Grant credits" not in viewer.get(f"/admin/credits/account/{account.pk}/change/").text
    assert 'value="cancel"' in staff(*VIEW, "change_generation").get(detail).text


# --- Generations and keys ---


def test_cancelling_releases_the_credits_and_names_the_staff_member(
    superuser: Client, order: PlaceOrder, account: Account
) -> None:
    generation = order()

    act(superuser, generation, "cancel")

    account.refresh_from_db()
    assert (account.balance, account.held) == (1000, 0)
    assert generation.events.latest("id").actor == "staff:chief"
    assert LogEntry.objects.get().get_change_message() == "Cancel: released"


def test_asking_fal_makes_a_generation_due(superuser: Client, fal: Simulator, order: PlaceOrder) -> None:
    fal.script("hold", "callback:lost")
    generation = order()
    Work().submit()
    Generation.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))

    act(superuser, generation, "ask_fal")

    assert Generation.objects.to_reconcile().count() == 1


def test_revoking_a_key_twice_keeps_the_first_time(superuser: Client, api_key: ApiKey) -> None:
    act(superuser, api_key, "revoke")
    first = ApiKey.objects.get().revoked_at
    act(superuser, api_key, "revoke")

    assert ApiKey.objects.get().revoked_at == first
    assert LogEntry.objects.count() == 1


# --- Credits ---


def test_a_grant_is_recorded_in_the_ledger_and_in_the_log(superuser: Client, account: Account) -> None:
    superuser.post(url_of(account, "grant"), credits_form(50, "sorry for the outage"))

    entry = Entry.objects.newest_first()[0]
    account.refresh_from_db()
    assert (account.balance, entry.actor, entry.reason) == (1050, "staff:chief", "sorry for the outage")
    assert LogEntry.objects.get().get_change_message() == "grant +50 credits: sorry for the outage"


def test_a_double_click_grants_once(superuser: Client, account: Account) -> None:
    form = credits_form(50)

    responses = [superuser.post(url_of(account, "grant"), form, follow=True) for _ in range(2)]

    account.refresh_from_db()
    assert account.balance == 1050
    assert LogEntry.objects.count() == 1
    assert "This form was already submitted; nothing was changed again." in responses[1].text


def test_every_rendered_form_has_its_own_nonce(superuser: Client, account: Account) -> None:
    forms = [superuser.get(url_of(account, "grant")).context["form"] for _ in range(2)]

    assert forms[0]["nonce"].value() != forms[1]["nonce"].value()


@pytest.mark.parametrize(
    "operation, form, message",
    [
        ("grant", credits_form(0), "greater than or equal to 1"),
        ("grant", credits_form("1.5"), "Enter a whole number"),
        ("grant", credits_form(2**31), "less than or equal to"),
        ("grant", credits_form(5, reason=" "), "This field is required"),
        ("adjust", credits_form(0), "The amount of an adjustment cannot be 0."),
        ("adjust", credits_form(-1001), "1000 are available"),
    ],
    ids=["zero", "fraction", "too large", "no reason", "no change", "more than available"],
)
def test_an_invalid_amount_is_rejected_with_a_reason(
    superuser: Client, account: Account, operation: str, form: dict[str, str], message: str
) -> None:
    response = superuser.post(url_of(account, operation), form)

    assert message in response.text
    assert Entry.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_an_adjustment_can_take_credits_away(superuser: Client, account: Account) -> None:
    superuser.post(url_of(account, "adjust"), credits_form(-100, "granted by mistake"))

    account.refresh_from_db()
    assert account.balance == 900


def test_a_refund_cannot_exceed_the_charge(superuser: Client, account: Account, finished: PlaceOrder) -> None:
    finished()
    hold = Hold.objects.get()

    responses = [superuser.post(url_of(hold, "refund"), credits_form(amount)) for amount in (2, 2)]

    account.refresh_from_db()
    assert [response.status_code for response in responses] == [302, 200]
    assert account.balance == 999
    assert audit().clean


# --- Switches ---


def test_while_the_circuit_breaker_is_open_every_admin_page_says_so(staff: Staff) -> None:
    circuit_breaker.trip("User is locked. Reason: Exhausted balance.")

    page = staff("view_generation").get("/admin/").text

    assert "no orders are accepted: User is locked. Reason: Exhausted balance." in page


@pytest.mark.parametrize("permission, closed", [("view_circuitbreaker", False), ("change_circuitbreaker", True)])
def test_closing_the_circuit_breaker_needs_its_permission(staff: Staff, permission: str, closed: bool) -> None:
    circuit_breaker.trip("locked")

    act(staff(permission), CircuitBreaker.objects.get(), "close")

    assert circuit_breaker.is_open() is not closed


@pytest.mark.parametrize("permission, paused", [("view_orderintake", False), ("change_orderintake", True)])
def test_pausing_orders_needs_its_permission(staff: Staff, permission: str, paused: bool) -> None:
    browser = staff(permission)
    browser.get("/admin/generations/orderintake/")

    act(browser, OrderIntake.objects.get(), "pause")

    assert order_intake.is_paused() is paused
    assert ("New orders have been paused" in browser.get("/admin/").text) is paused
