"""Who may open what: every address of the pages and of the admin × anonymous, other user, owner, staff.

The API's own matrix is in tests/generations/api/test_permissions.py. Both read the URLs that exist, so that none is
missed.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client

from generations.models import Generation
from tests.end_to_end.contract.admin_rows import one_of_each
from tests.end_to_end.contract.test_contract import DOCUMENT
from tests.end_to_end.contract.url_patterns import Door, doors
from tests.fixtures.api import key_of, read_to_the_end

pytestmark = pytest.mark.django_db
# What is open to everybody, and why.
OPEN = {
    "login": "is where one enters",
    "logout": "is where one leaves",
    "charging-rules": "is the rule table, and says the same to everybody",
    "unsubscribe": "opens by its ticket alone",
    "fal-callback": "opens by its token and signature",
    "health-live": "tells that a process lives",
    "health-ready": "tells a balancer whether to send requests",
    "health-fal": "tells whether fal answers",
    "metrics": "has a rule of its own: tests/operations/test_metrics.py",
}
PAGES = [door for door in doors("") if door.name not in OPEN and "hooks/" not in door.route]
# A slug is everybody's, and an action is a word.
OBJECTS = [door for door in PAGES if door.names - {"slug", "action"}]
ADMIN = [door for door in doors("admin/") if door.name not in {"login", "logout", "jsi18n"}]
ROWS = [
    door for door in ADMIN if re.search(r"<(path:object_id|int:pk|id)>", door.route) and "admin/r/" not in door.route
]
LOGIN, ADMIN_LOGIN = "/login/?", "/admin/login/?"
NOT_OPENED = {401, 403, 404, 405}
# What a door names in its address.
OWNED = (
    *("generations.Generation", "generations.Batch", "generations.Upload", "accounts.ApiKey"),
    *("notifications.WebhookEndpoint", "notifications.WebhookDelivery"),
)
FORMS = {
    "email-preference": {"mail": "never"},
    "webhook-endpoint-add": {"url": "https://example.com/new", "types": "generation.completed"},
}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def both(client: Client, address: str, form: dict[str, str] | None = None) -> list[Any]:
    """Looked at, and acted upon; what that did is undone."""
    answers: list[HttpResponse] = []
    for method, data in (("get", None), ("post", form or {})):
        with transaction.atomic():
            answers.append(read_to_the_end(getattr(client, method)(address, data)))
            transaction.set_rollback(True)
    return answers


def said(answer: Any) -> str:
    """Without what differs from one look to the next."""
    return re.sub(r'(?<=name="csrfmiddlewaretoken" value=")\w+', "", answer.content.decode())


def leads_to(answer: Any, place: str) -> bool:
    return bool(answer.status_code == 302 and answer["Location"].startswith(place))


@pytest.fixture
def things(path_parameters: dict[str, Any]) -> dict[str, Any]:
    return {**path_parameters, "action": "remove"}


@pytest.fixture
def rows(path_parameters: dict[str, Any], alice: User) -> dict[str, Model]:
    return one_of_each(alice)


def at(door: Door, rows: dict[str, Model]) -> str:
    """The door of the row that is there."""
    row = next((row for name, row in rows.items() if door.route.startswith(f"admin/{name.replace('_', '/')}/")), None)
    return door.address(dict.fromkeys(("object_id", "pk", "id", "content_type_id"), getattr(row, "pk", 0)))


def test_the_matrix_knows_the_doors() -> None:
    assert {"generation", "generation-erase", "batch", "webhook-endpoint-action", "api-key-revoke"} <= {
        d.name for d in OBJECTS
    }
    assert {"credits_account_grant", "generations_upload_change", "auth_user_password_change"} <= {d.name for d in ROWS}
    assert set(OPEN) <= {door.name for door in doors("")}


# --- Anonymous ---


def test_nobody_anonymous_sees_a_page(client: Client, things: dict[str, Any]) -> None:
    answers = {door.route: both(client, door.address(things)) for door in PAGES}

    # Where only one of the two methods is known, the other is refused.
    assert [route for route, both_ in answers.items() if not any(leads_to(answer, LOGIN) for answer in both_)] == []
    assert {answer.status_code for both_ in answers.values() for answer in both_} <= {302, 405}


def test_what_is_open_tells_a_stranger_nothing(client: Client, things: dict[str, Any]) -> None:
    submission = Generation.objects.get(pk=things["generation_id"]).submissions.get()
    guessed = {"submission_id": submission.pk, "token": "guessed", "ticket": f"{submission.pk.hex}:guessed"}

    answers = {d.route: both(client, d.address(guessed)) for d in doors("") if d.names & {"token", "ticket"}}

    assert len(answers) == 3
    assert {answer.status_code for both_ in answers.values() for answer in both_} <= NOT_OPENED


@pytest.mark.parametrize("who", ["anonymous", "alice"])
def test_the_admin_is_closed_to_who_is_not_staff(client: Client, alice: User, rows: dict[str, Model], who: str) -> None:
    visitor = client if who == "anonymous" else browser(alice)

    answers = {door.route: both(visitor, at(door, rows)) for door in ADMIN if "?P<" not in door.route}

    wrong = [route for route, both_ in answers.items() for answer in both_ if not leads_to(answer, ADMIN_LOGIN)]
    assert wrong == []


# --- Somebody else ---


@pytest.mark.parametrize("who", ["bob", "staff"])
def test_g1_somebody_elses_page_looks_like_one_that_does_not_exist(
    request: pytest.FixtureRequest, things: dict[str, Any], who: str
) -> None:
    stranger, nothing = browser(request.getfixturevalue(who)), {name: uuid4() for name in things} | {"action": "remove"}

    for door in OBJECTS:
        foreign, missing = both(stranger, door.address(things)), both(stranger, door.address(nothing))
        statuses = [answer.status_code for answer in foreign]
        assert statuses in ([404, 404], [405, 404], [404, 405]), door
        assert [said(answer) for answer in foreign] == [said(answer) for answer in missing], door


def test_without_the_rule_whose_a_row_is_every_one_of_these_doors_would_open(
    bob: User, things: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    for rows in (apps.get_model(name).objects.all() for name in OWNED):
        monkeypatch.setattr(type(rows), "visible_to", lambda self, user: self.all())
    stranger = browser(bob)

    closed = [d.name for d in OBJECTS if all(a.status_code >= 400 for a in both(stranger, d.address(things)))]

    assert closed == []


@pytest.mark.parametrize("who", ["bob", "staff"])
def test_no_list_shows_what_is_somebody_elses(request: pytest.FixtureRequest, things: dict[str, Any], who: str) -> None:
    stranger = request.getfixturevalue(who)
    hers = [f"{things[name]}" for name in things if name.endswith("_id")] + ["example.com/told", "a dog"]

    seen = everything_without_a_name(browser(stranger), key_of(stranger), things)

    assert [(word, address) for address, text in seen.items() for word in hers if word in text] == []


def test_the_owners_lists_show_it(alice: User, things: dict[str, Any]) -> None:
    """Otherwise the test above would see nothing either."""
    seen = "".join(everything_without_a_name(browser(alice), key_of(alice), things).values())

    names = [name for name in things if name.endswith("_id") and name != "output_id"]
    assert [name for name in names if f"{things[name]}" not in seen] == []


def everything_without_a_name(client: Client, api: Any, things: dict[str, Any]) -> dict[str, str]:
    """All that one may see without naming an object in the path; in the query one names Alice's."""
    query = urlencode({"like": things["generation_id"], "output": things["output_id"]})
    pages = [door.address(things) + "?" + query for door in PAGES if door not in OBJECTS]
    lists = [path for path, item in DOCUMENT["paths"].items() if "get" in item and "{" not in path]
    return {path: client.get(path).text for path in pages} | {path: api.get(path).content.decode() for path in lists}


@pytest.mark.parametrize("permissions", [[], ["view_heartbeat"]])
def test_staff_without_permissions_open_no_row(staff: User, rows: dict[str, Model], permissions: list[str]) -> None:
    User.objects.filter(pk=staff.pk).update(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    visitor = browser(User.objects.get(pk=staff.pk))

    opened = {
        door.name
        for door in ROWS
        for answer in both(visitor, at(door, rows))
        # Without a view at its end, an address only leads on to it.
        if door.name and answer.status_code not in NOT_OPENED
    }

    assert opened == {f"generations_heartbeat_{view}" for view in ("change", "history") if permissions}


# --- The owner, and the chief ---


def test_the_owner_opens_every_page(alice: User, things: dict[str, Any]) -> None:
    client = browser(alice)

    answers = {door.name: both(client, door.address(things), FORMS.get(door.name)) for door in PAGES}

    closed = [name for name, both_ in answers.items() if all(answer.status_code >= 400 for answer in both_)]
    assert closed == []
    assert not any(leads_to(answer, LOGIN) for both_ in answers.values() for answer in both_)


# These are Django's, or hold nothing that follows from anything else.
EDITABLE = ("auth_", "accounts_userlimits")


def test_the_chief_looks_at_every_row_and_writes_in_none(staff: User, rows: dict[str, Model]) -> None:
    client = browser(staff)
    ours = [door for door in ROWS if door.name and not door.name.startswith(EDITABLE)]

    statuses = {door.name: [answer.status_code for answer in both(client, at(door, rows))] for door in ours}

    changing = {name: found for name, found in statuses.items() if name.endswith("_change")}
    deleting = {name: found for name, found in statuses.items() if name.endswith("_delete")}
    assert {tuple(found) for found in changing.values()} == {(200, 403)}
    assert {tuple(found) for found in deleting.values()} == {(403, 403)}
    assert {found[0] for name, found in statuses.items() if name not in deleting} == {200}
