"""The admin shows everything, lets nobody write, and keeps the secrets."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from accounts.models import ApiKey
from credits.models import Account, Entry, Hold
from generations.models import (
    Erasure,
    FalAccount,
    Generation,
    Heartbeat,
    Output,
    ProviderCallback,
    Retention,
    Submission,
    Upload,
)
from tests.fixtures.pages import PlaceOrder
from tests.helpers.attack_strings import ATTACKS, LIVE
from tests.helpers.images import laid

pytestmark = pytest.mark.django_db(transaction=True)
OURS: list[Any] = [
    Account,
    Hold,
    Entry,
    Generation,
    Submission,
    ProviderCallback,
    ApiKey,
    FalAccount,
    Heartbeat,
    Upload,
]
OURS += [Erasure, Retention]
GENERATIONS = "/admin/generations/generation/"


def address(row, view: str = "change") -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/{view}/"


@pytest.fixture
def one_of_each(finished: PlaceOrder, alice: User) -> list:
    """A finished order with all that hangs on it, and a row of every table beside."""
    generation = finished()
    submission = generation.submissions.get()
    laid(alice)
    Erasure.objects.create(generation=generation, asked_by="user:alice")
    Retention.objects.create(account=generation.account, days=30)
    FalAccount.objects.get_or_create(defaults={"user_id": "fal-user", "pinned_by": submission})
    Heartbeat.objects.update_or_create(name="sweeper", defaults={"seen_at": timezone.now()})
    ApiKey.objects.create(user=alice, name="laptop", prefix="limn_abcd", digest="d" * 64)
    ProviderCallback.objects.create(
        submission=submission, request_id="r", body_sha256="b", body=b'{"url": "https://fal.media/a?sig=hush"}'
    )
    Output.objects.update(source_url="https://fal.media/a.png?signature=hush")
    return [model.objects.all()[0] for model in OURS]


def test_every_list_and_every_row_opens(chief: Client, one_of_each: list) -> None:
    lists = [chief.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/") for model in OURS]
    rows = [chief.get(address(row)) for row in one_of_each]

    assert {answer.status_code for answer in [*lists, *rows]} == {200}
    assert all("unsafe" not in answer.headers["Content-Security-Policy"] for answer in rows)


def test_nothing_can_be_added_changed_or_deleted_not_even_by_the_chief(chief: Client, one_of_each: list) -> None:
    tampered = {"status": "completed", "captured": 0, "balance": 10**6, "amount": 1, "revoked_at": ""}
    added = [chief.post(f"/admin/{row._meta.app_label}/{row._meta.model_name}/add/", tampered) for row in one_of_each]
    changed = [chief.post(address(row), tampered) for row in one_of_each]
    deleted = [chief.post(address(row, "delete"), {"post": "yes"}) for row in one_of_each]

    assert {answer.status_code for answer in [*added, *changed, *deleted]} == {403}


def test_rows_cannot_be_deleted_by_the_lists_action(chief: Client, one_of_each: list) -> None:
    form = {"action": "delete_selected", "_selected_action": [one_of_each[3].pk], "post": "yes"}

    assert chief.post(GENERATIONS, form).status_code == 403
    assert Generation.objects.count() == 1


def test_who_has_an_account_cannot_be_deleted(chief: Client, alice: User) -> None:
    chief.post(address(alice, "delete"), {"post": "yes"})

    assert User.objects.filter(pk=alice.pk).exists()


def test_no_page_shows_a_secret(chief: Client, one_of_each: list) -> None:
    secrets = [Submission.objects.get().token, "d" * 64, "hush"]
    pages = [chief.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/").text for model in OURS]
    pages += [chief.get(address(row, view)).text for row in one_of_each for view in ("change", "history")]

    assert [secret for secret in secrets for page in pages if secret in page] == []
    assert "https://fal.media/a.png?…" in chief.get(address(one_of_each[3])).text


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_shown_as_it_was_typed(chief: Client, order: PlaceOrder, attack: str) -> None:
    generation = order(prompt=attack)

    pages = [chief.get(GENERATIONS, {"q": attack}).text, chief.get(address(generation)).text]

    assert [word for word in LIVE for page in pages if word in page] == []
    assert escape(attack) in pages[0]


def test_an_attack_in_a_callback_is_shown_as_it_came(chief: Client, db: None) -> None:
    body = "\n".join(ATTACKS).encode(errors="replace")
    delivery = ProviderCallback.objects.create(request_id="<b>right", body=body, body_sha256="b", outcome="orphan")

    page = chief.get(address(delivery)).text

    assert [word for word in LIVE if word in page] == []
    assert escape(ATTACKS[0]) in page


def test_a_generation_is_found_by_all_that_a_customer_may_write(
    chief: Client, finished: PlaceOrder, order: PlaceOrder
) -> None:
    wanted, request = finished(prompt="a purple fox"), str(Submission.objects.get().request_id)
    order(prompt="something else")

    for words in (str(wanted.pk), wanted.pk.hex, request, "purple fox"):
        found = chief.get(GENERATIONS, {"q": words}).context["cl"].queryset
        assert list(found) == [wanted]
    assert chief.get(GENERATIONS, {"q": "alice"}).context["cl"].queryset.count() == 2


@pytest.mark.parametrize("query", ["model=flux-schnell", "status__exact=pending", "phase__exact=queued"])
def test_the_list_can_be_narrowed(chief: Client, order: PlaceOrder, query: str) -> None:
    order()

    assert chief.get(f"{GENERATIONS}?{query}").context["cl"].result_count == 1
    assert chief.get(f"{GENERATIONS}?model=veo3.1-fast").context["cl"].result_count == 0


@pytest.mark.parametrize("model", [Generation, Submission, Hold, Entry], ids=lambda model: model.__name__)
def test_the_number_of_queries_does_not_grow_with_the_list(chief: Client, order: PlaceOrder, model) -> None:
    counts = []
    for more in (2, 20):
        for _ in range(more):
            order()
        with CaptureQueriesContext(connection) as queries:
            chief.get(f"/admin/{model._meta.app_label}/{model._meta.model_name}/")
        counts.append(len(queries))

    assert counts[0] == counts[1] < 12


def test_an_account_leads_to_its_entries(chief: Client, order: PlaceOrder, alice: User) -> None:
    order()
    account = Account.objects.get(user=alice)

    page = chief.get(address(account)).text
    entries = chief.get(f"/admin/credits/entry/?account__id__exact={account.pk}")

    assert f'href="/admin/credits/entry/?account__id__exact={account.pk}"' in page
    assert entries.context["cl"].result_count == 2


def test_a_long_list_is_counted_only_so_far(chief: Client, order: PlaceOrder) -> None:
    order()

    with CaptureQueriesContext(connection) as queries:
        chief.get(GENERATIONS)

    counting = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counting
    assert all("LIMIT 10000" in sql for sql in counting)


def test_every_table_of_ours_is_in_the_admin() -> None:
    assert {model for model in OURS if admin.site.is_registered(model)} == set(OURS)
