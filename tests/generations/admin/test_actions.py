"""What staff may do: cancel, ask fal, revoke a key, and move credits. Each needs its own permission."""

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
from generations.models import CircuitBreaker, Generation
from generations.provider import circuit_breaker
from simulator import Simulator
from tests.fixtures.pages import PlaceOrder
from tests.generations.admin.conftest import Staff
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)
GENERATIONS = "/admin/generations/generation/"
LOOKING = ("view_generation", "view_account", "view_hold", "view_apikey")


def act(client: Client, row: object, action: str) -> int:
    """Choose the row in its list and press the button. The status of the answer."""
    meta = row._meta  # type: ignore[attr-defined]
    form = {"action": action, "_selected_action": [row.pk]}  # type: ignore[attr-defined]
    return client.post(f"/admin/{meta.app_label}/{meta.model_name}/", form).status_code


def money(amount: int | str, reason: str = "a birthday", nonce: str = "") -> dict[str, str]:
    return {"amount": str(amount), "reason": reason, "nonce": nonce or str(uuid4())}


def address(row: Account | Hold, verb: str) -> str:
    return f"/admin/credits/{row._meta.model_name}/{row.pk}/{verb}/"


@pytest.fixture
def account(alice: User) -> Account:
    return Account.objects.for_user(alice)


@pytest.fixture
def api_key(alice: User) -> ApiKey:
    return ApiKey.objects.create(user=alice, name="laptop", prefix="limn_abcd", digest="d" * 64)


@pytest.mark.parametrize("action", ["cancel", "ask_fal"])
@pytest.mark.parametrize(
    "permissions, status", [(LOOKING, 403), (("change_generation",), 302), ((*LOOKING, "change_generation"), 302)]
)
def test_acting_on_generations_needs_its_permission(
    staff: Staff, order: PlaceOrder, permissions: tuple[str, ...], status: int, action: str
) -> None:
    assert act(staff(*permissions), order(), action) == status


@pytest.mark.parametrize("permissions, status", [(LOOKING, 403), ((*LOOKING, "change_apikey"), 302)])
def test_revoking_needs_its_permission(
    staff: Staff, api_key: ApiKey, permissions: tuple[str, ...], status: int
) -> None:
    assert act(staff(*permissions), api_key, "revoke") == status
    assert ApiKey.objects.usable().exists() == (status == 403)


@pytest.mark.parametrize("verb", ["grant", "adjust"])
@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("permissions", [(), LOOKING, ("change_generation", "change_hold", "change_entry")])
def test_money_needs_its_permission(
    staff: Staff, account: Account, permissions: tuple[str, ...], method: str, verb: str
) -> None:
    answer = getattr(staff(*permissions), method)(address(account, verb), money(5))

    assert answer.status_code == 403
    assert Entry.objects.count() == 1


def test_who_is_no_staff_is_sent_to_the_login(client: Client, alice: User, account: Account) -> None:
    client.force_login(alice)

    assert client.post(address(account, "grant"), money(5)).headers["Location"].startswith("/admin/login/")
    assert act(client, account, "cancel") == 302
    assert Entry.objects.count() == 1


def test_without_permission_no_button_is_shown(staff: Staff, order: PlaceOrder, account: Account) -> None:
    looker, detail = staff(*LOOKING), f"{GENERATIONS}{order().pk}/change/"

    assert 'value="cancel"' not in looker.get(detail).text
    assert "Grant credits" not in looker.get(f"/admin/credits/account/{account.pk}/change/").text
    assert 'value="cancel"' in staff(*LOOKING, "change_generation").get(detail).text


def test_cancelling_gives_the_credits_back_and_names_who_did_it(
    chief: Client, order: PlaceOrder, account: Account
) -> None:
    generation = order()

    act(chief, generation, "cancel")

    account.refresh_from_db()
    assert (account.balance, account.held) == (1000, 0)
    assert generation.events.latest("id").actor == "staff:chief"
    assert LogEntry.objects.get().get_change_message() == "Cancel: released"


def test_asking_fal_makes_it_due(chief: Client, fal: Simulator, order: PlaceOrder) -> None:
    fal.script("hold", "callback:lost")
    generation = order()
    Work().submit()
    Generation.objects.update(next_attempt_at=timezone.now() + timedelta(hours=1))

    act(chief, generation, "ask_fal")

    assert Generation.objects.to_reconcile().count() == 1


def test_a_revoked_key_keeps_its_first_moment(chief: Client, api_key: ApiKey) -> None:
    act(chief, api_key, "revoke")
    first = ApiKey.objects.get().revoked_at
    act(chief, api_key, "revoke")

    assert ApiKey.objects.get().revoked_at == first
    assert LogEntry.objects.count() == 1


def test_a_grant_is_in_the_ledger_and_in_the_log_with_its_reason(chief: Client, account: Account) -> None:
    chief.post(address(account, "grant"), money(50, "sorry for the outage"))

    entry = Entry.objects.newest_first()[0]
    account.refresh_from_db()
    assert (account.balance, entry.actor, entry.reason) == (1050, "staff:chief", "sorry for the outage")
    assert LogEntry.objects.get().get_change_message() == "grant +50 credits: sorry for the outage"


def test_a_double_click_grants_once(chief: Client, account: Account) -> None:
    form = money(50, nonce=str(uuid4()))

    answers = [chief.post(address(account, "grant"), form, follow=True) for _ in range(2)]

    account.refresh_from_db()
    assert account.balance == 1050
    assert LogEntry.objects.count() == 1
    assert "This form was already submitted; nothing was changed again." in answers[1].text


def test_every_form_has_a_nonce_of_its_own(chief: Client, account: Account) -> None:
    forms = [chief.get(address(account, "grant")).context["form"] for _ in range(2)]

    assert forms[0]["nonce"].value() != forms[1]["nonce"].value()


@pytest.mark.parametrize(
    "verb, form, words",
    [
        ("grant", money(0), "greater than or equal to 1"),
        ("grant", money("1.5"), "Enter a whole number"),
        ("grant", money(2**31), "less than or equal to"),
        ("grant", money(5, reason=" "), "This field is required"),
        ("adjust", money(0), "The amount of an adjustment cannot be 0."),
        ("adjust", money(-1001), "1000 are available"),
    ],
)
def test_nonsense_is_refused_in_words(
    chief: Client, account: Account, verb: str, form: dict[str, str], words: str
) -> None:
    answer = chief.post(address(account, verb), form)

    assert words in answer.text
    assert Entry.objects.count() == 1
    assert not LogEntry.objects.exists()


def test_an_adjustment_takes_away(chief: Client, account: Account) -> None:
    chief.post(address(account, "adjust"), money(-100, "granted by mistake"))

    account.refresh_from_db()
    assert account.balance == 900


def test_a_refund_is_never_more_than_was_charged(chief: Client, account: Account, finished: PlaceOrder) -> None:
    finished()
    hold = Hold.objects.get()

    answers = [chief.post(address(hold, "refund"), money(amount)) for amount in (2, 2)]

    account.refresh_from_db()
    assert [answer.status_code for answer in answers] == [302, 200]
    assert account.balance == 999
    assert audit().clean


def test_while_fal_refuses_us_every_admin_page_says_so(staff: Staff) -> None:
    circuit_breaker.trip("User is locked. Reason: Exhausted balance.")

    page = staff("view_generation").get("/admin/").content.decode()

    assert "nobody can order: User is locked. Reason: Exhausted balance." in page


@pytest.mark.parametrize("permissions, closed", [(("view_circuitbreaker",), False), (("change_circuitbreaker",), True)])
def test_closing_the_breaker_needs_its_permission(staff: Staff, permissions: tuple[str, ...], closed: bool) -> None:
    circuit_breaker.trip("locked")

    act(staff(*permissions), CircuitBreaker.objects.get(), "close")

    assert circuit_breaker.is_open() is not closed
