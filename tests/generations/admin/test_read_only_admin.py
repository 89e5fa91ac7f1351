"""The admin shows every table, lets no row be written, and does not show secrets."""

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
from tests.helpers.images import insert_upload

pytestmark = pytest.mark.django_db(transaction=True)
TABLES: list[Any] = [
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
    Erasure,
    Retention,
]
GENERATIONS = "/admin/generations/generation/"


def list_url(table: Any) -> str:
    return f"/admin/{table._meta.app_label}/{table._meta.model_name}/"


def row_url(row: Any, view: str = "change") -> str:
    return f"{list_url(row)}{row.pk}/{view}/"


@pytest.fixture
def one_of_each(finished: PlaceOrder, alice: User) -> dict[Any, Any]:
    """One row of each table: a finished order with everything that belongs to it, and the tables beside it."""
    generation = finished()
    submission = generation.submissions.get()
    insert_upload(alice)
    Erasure.objects.create(generation=generation, asked_by="user:alice")
    Retention.objects.create(account=generation.account, days=30)
    FalAccount.objects.get_or_create(defaults={"user_id": "fal-user", "pinned_by": submission})
    Heartbeat.objects.update_or_create(name="storage_cleaner", defaults={"seen_at": timezone.now()})
    ApiKey.objects.create(user=alice, name="laptop", prefix="limn_abcd", digest="d" * 64)
    ProviderCallback.objects.create(
        submission=submission, request_id="r", body_sha256="b", body=b'{"url": "https://fal.media/a?sig=hush"}'
    )
    Output.objects.update(source_url="https://fal.media/a.png?signature=hush")
    return {table: table.objects.all()[0] for table in TABLES}


def test_every_list_and_every_row_can_be_viewed(superuser: Client, one_of_each: dict[Any, Any]) -> None:
    lists = [superuser.get(list_url(table)) for table in TABLES]
    rows = [superuser.get(row_url(row)) for row in one_of_each.values()]

    assert {response.status_code for response in [*lists, *rows]} == {200}
    assert all("unsafe" not in response.headers["Content-Security-Policy"] for response in rows)


def test_a_superuser_cannot_add_change_or_delete_rows(superuser: Client, one_of_each: dict[Any, Any]) -> None:
    forged = {"status": "completed", "captured": 0, "balance": 10**6, "amount": 1, "revoked_at": ""}

    responses = []
    for row in one_of_each.values():
        responses += [superuser.post(f"{list_url(row)}add/", forged), superuser.post(row_url(row), forged)]
        responses.append(superuser.post(row_url(row, "delete"), {"post": "yes"}))

    assert {response.status_code for response in responses} == {403}


def test_the_delete_action_of_a_list_is_not_available(superuser: Client, one_of_each: dict[Any, Any]) -> None:
    form = {"action": "delete_selected", "_selected_action": [one_of_each[Generation].pk], "post": "yes"}

    assert superuser.post(GENERATIONS, form).status_code == 403
    assert Generation.objects.count() == 1


def test_a_user_with_an_account_cannot_be_deleted(superuser: Client, alice: User) -> None:
    superuser.post(row_url(alice, "delete"), {"post": "yes"})

    assert User.objects.filter(pk=alice.pk).exists()


def test_no_page_shows_a_secret(superuser: Client, one_of_each: dict[Any, Any]) -> None:
    secrets = [Submission.objects.get().token, "d" * 64, "hush"]
    pages = [superuser.get(list_url(table)).text for table in TABLES]
    pages += [superuser.get(row_url(row, view)).text for row in one_of_each.values() for view in ("change", "history")]

    assert [secret for secret in secrets for page in pages if secret in page] == []
    assert "https://fal.media/a.png?…" in superuser.get(row_url(one_of_each[Generation])).text


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_in_a_prompt_is_escaped(superuser: Client, order: PlaceOrder, attack: str) -> None:
    generation = order(prompt=attack)

    pages = [superuser.get(GENERATIONS, {"q": attack}).text, superuser.get(row_url(generation)).text]

    assert [markup for markup in LIVE for page in pages if markup in page] == []
    assert escape(attack) in pages[0]


def test_markup_in_a_callback_is_escaped(superuser: Client, db: None) -> None:
    body = "\n".join(ATTACKS).encode(errors="replace")
    callback = ProviderCallback.objects.create(request_id="<b>right", body=body, body_sha256="b", outcome="orphan")

    page = superuser.get(row_url(callback)).text

    assert [markup for markup in LIVE if markup in page] == []
    assert escape(ATTACKS[0]) in page


def test_a_generation_is_found_by_whatever_a_customer_quotes(
    superuser: Client, finished: PlaceOrder, order: PlaceOrder
) -> None:
    wanted, request_id = finished(prompt="a purple fox"), str(Submission.objects.get().request_id)
    order(prompt="something else")

    for term in (str(wanted.pk), wanted.pk.hex, request_id, "purple fox"):
        found = superuser.get(GENERATIONS, {"q": term}).context["cl"].queryset
        assert list(found) == [wanted]
    assert superuser.get(GENERATIONS, {"q": "alice"}).context["cl"].queryset.count() == 2


def test_the_list_of_generations_can_be_filtered(superuser: Client, order: PlaceOrder) -> None:
    order()

    for query in ("model=flux-schnell", "status__exact=pending", "phase__exact=queued"):
        assert superuser.get(f"{GENERATIONS}?{query}").context["cl"].result_count == 1
    assert superuser.get(f"{GENERATIONS}?model=veo3.1-fast").context["cl"].result_count == 0


@pytest.mark.parametrize("table", [Generation, Submission, Hold, Entry], ids=lambda table: table.__name__)
def test_the_number_of_queries_does_not_grow_with_the_list(superuser: Client, order: PlaceOrder, table: Any) -> None:
    counts = []
    for more in (2, 20):
        for _ in range(more):
            order()
        with CaptureQueriesContext(connection) as queries:
            superuser.get(list_url(table))
        counts.append(len(queries))

    assert counts[0] == counts[1] < 12


def test_an_account_links_to_its_entries(superuser: Client, order: PlaceOrder, alice: User) -> None:
    order()
    account = Account.objects.get(user=alice)
    url = f"/admin/credits/entry/?account__id__exact={account.pk}"

    assert f'href="{url}"' in superuser.get(row_url(account)).text
    assert superuser.get(url).context["cl"].result_count == 2


def test_a_long_list_is_counted_up_to_a_limit(superuser: Client, order: PlaceOrder) -> None:
    order()

    with CaptureQueriesContext(connection) as queries:
        superuser.get(GENERATIONS)

    counting = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counting
    assert all("LIMIT 10000" in sql for sql in counting)


def test_every_table_is_registered() -> None:
    assert [table for table in TABLES if not admin.site.is_registered(table)] == []
