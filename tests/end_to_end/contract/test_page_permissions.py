"""Who may open which page: every route of the pages and the admin for anonymous clients, customers and staff.

The permissions of the API are tested in tests/generations/api/test_permissions.py. Both read the existing routes, so
that none is missed. Case ids: docs/failure-modes.md.
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
from django.test import Client

from generations.models import Generation
from tests.end_to_end.contract.admin_rows import one_of_each
from tests.end_to_end.contract.document import DOCUMENT
from tests.end_to_end.contract.url_patterns import Route, admin_routes, page_routes
from tests.fixtures.api import ENDPOINT_URL, key_of, read_to_the_end

pytestmark = pytest.mark.django_db
# Routes that need no login, and the reason.
PUBLIC = {
    "login": "is where users log in",
    "logout": "is where users log out",
    "charging-rules": "is the same text for everyone",
    "unsubscribe": "requires a ticket",
    "fal-callback": "requires a token and a signature",
    "health-live": "is for service managers",
    "health-ready": "is for load balancers",
    "health-fal": "reports only whether fal answers",
    "metrics": "has its own rule: tests/operations/test_metrics.py",
}
PAGES = [route for route in page_routes() if route.name not in PUBLIC and "hooks/" not in route.pattern]
# A slug names a model, which belongs to no user, and an action is a verb.
PAGES_OF_OBJECTS = [route for route in PAGES if route.parameters - {"slug", "action"}]
ADMIN = [route for route in admin_routes() if route.name not in {"login", "logout", "jsi18n"}]
ADMIN_ROWS = [
    route
    for route in ADMIN
    if re.search(r"<(path:object_id|int:pk|id)>", route.pattern) and "admin/r/" not in route.pattern
]
LOGIN, ADMIN_LOGIN = "/login/?", "/admin/login/?"
REFUSED = {401, 403, 404, 405}
# The models whose ids are parameters of the pages.
OWNED = (
    *("generations.Generation", "generations.Batch", "generations.Upload", "accounts.ApiKey"),
    *("notifications.WebhookEndpoint", "notifications.WebhookDelivery"),
)
# The URL of Alice's endpoint, and the prompt of one of her generations.
PRIVATE_TEXTS = (ENDPOINT_URL, "a dog")
FORMS = {
    "email-preference": {"mail": "never"},
    "webhook-endpoint-add": {"url": "https://example.com/new", "types": "generation.completed"},
}


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def get_and_post(client: Client, path: str, form: dict[str, str] | None = None) -> list[Any]:
    """The responses to a GET and a POST request. Changes in the database are rolled back."""
    responses: list[Any] = []
    for method, data in (("get", None), ("post", form or {})):
        with transaction.atomic():
            responses.append(read_to_the_end(getattr(client, method)(path, data)))
            transaction.set_rollback(True)
    return responses


def text_without_token(response: Any) -> str:
    """The page without its CSRF token, which differs each time."""
    return re.sub(r'(?<=name="csrfmiddlewaretoken" value=")\w+', "", response.content.decode())


def redirects_to(response: Any, path: str) -> bool:
    return bool(response.status_code == 302 and response["Location"].startswith(path))


@pytest.fixture
def parameters(path_parameters: dict[str, Any]) -> dict[str, Any]:
    """The values of all parameters of the pages. The ids are those of Alice's objects."""
    return {**path_parameters, "action": "remove"}


@pytest.fixture
def rows(path_parameters: dict[str, Any], alice: User) -> dict[str, Model]:
    """A row of each table in the admin."""
    return one_of_each(alice)


def admin_path(route: Route, rows: dict[str, Model]) -> str:
    """The path of the route for the existing row of its table."""
    row = next(
        (row for name, row in rows.items() if route.pattern.startswith(f"admin/{name.replace('_', '/')}/")), None
    )
    return route.path(dict.fromkeys(("object_id", "pk", "id", "content_type_id"), getattr(row, "pk", 0)))


def test_the_routes_are_found() -> None:
    pages = {route.name for route in PAGES_OF_OBJECTS}
    admin = {route.name for route in ADMIN_ROWS}

    assert {"generation", "generation-erase", "batch", "webhook-endpoint-action", "api-key-revoke"} <= pages
    assert {"credits_account_grant", "generations_upload_change", "auth_user_password_change"} <= admin
    assert set(PUBLIC) <= {route.name for route in page_routes()}


# --- Anonymous clients ---


def test_every_page_redirects_anonymous_clients_to_the_login(client: Client, parameters: dict[str, Any]) -> None:
    for route in PAGES:
        responses = get_and_post(client, route.path(parameters))

        # A page that accepts one of the two methods answers 405 to the other.
        assert {response.status_code for response in responses} <= {302, 405}, route
        assert any(redirects_to(response, LOGIN) for response in responses), route


def test_a_public_route_with_a_guessed_token_or_ticket_is_refused(client: Client, parameters: dict[str, Any]) -> None:
    submission = Generation.objects.get(pk=parameters["generation_id"]).submissions.get()
    guessed = {"submission_id": submission.pk, "token": "guessed", "ticket": f"{submission.pk.hex}:guessed"}
    routes = [route for route in page_routes() if route.parameters & {"token", "ticket"}]

    assert len(routes) == 3
    for route in routes:
        assert {response.status_code for response in get_and_post(client, route.path(guessed))} <= REFUSED, route


@pytest.mark.parametrize("who", ["anonymous", "alice"])
def test_the_admin_redirects_clients_that_are_not_staff_to_its_login(
    client: Client, alice: User, rows: dict[str, Model], who: str
) -> None:
    visitor = client if who == "anonymous" else logged_in(alice)

    for route in ADMIN:
        # Django's last route of the admin is a regular expression that matches all other paths.
        if "?P<" not in route.pattern:
            for response in get_and_post(visitor, admin_path(route, rows)):
                assert redirects_to(response, ADMIN_LOGIN), route


# --- Other users ---


@pytest.mark.parametrize("who", ["bob", "staff"])
def test_g1_the_page_of_another_users_object_looks_like_one_that_does_not_exist(
    request: pytest.FixtureRequest, parameters: dict[str, Any], who: str
) -> None:
    other_user = logged_in(request.getfixturevalue(who))
    missing_parameters = {name: uuid4() for name in parameters} | {"action": "remove"}

    for route in PAGES_OF_OBJECTS:
        foreign = get_and_post(other_user, route.path(parameters))
        missing = get_and_post(other_user, route.path(missing_parameters))

        statuses = [response.status_code for response in foreign]
        assert statuses in ([404, 404], [405, 404], [404, 405]), route
        assert [text_without_token(page) for page in foreign] == [text_without_token(page) for page in missing], route


def test_without_the_filter_by_owner_every_page_of_an_object_would_open(
    bob: User, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the test above."""
    for rows in (apps.get_model(name).objects.all() for name in OWNED):
        monkeypatch.setattr(type(rows), "visible_to", lambda self, user: self.all())
    other_user = logged_in(bob)

    for route in PAGES_OF_OBJECTS:
        responses = get_and_post(other_user, route.path(parameters))
        assert any(response.status_code < 400 for response in responses), route


def texts_of_lists(client: Client, api: Any, parameters: dict[str, Any]) -> dict[str, str]:
    """The text of every page and API list without an id in its path. The query string names objects of Alice."""
    query = urlencode({"like": parameters["generation_id"], "output": parameters["output_id"]})
    pages = [route.path(parameters) + "?" + query for route in PAGES if route not in PAGES_OF_OBJECTS]
    lists = [path for path, item in DOCUMENT["paths"].items() if "get" in item and "{" not in path]
    return {path: client.get(path).text for path in pages} | {path: api.get(path).content.decode() for path in lists}


@pytest.mark.parametrize("who", ["bob", "staff"])
def test_no_list_shows_objects_of_another_user(
    request: pytest.FixtureRequest, parameters: dict[str, Any], who: str
) -> None:
    other_user = request.getfixturevalue(who)
    ids = [str(value) for name, value in parameters.items() if name.endswith("_id")]

    texts = texts_of_lists(logged_in(other_user), key_of(other_user), parameters)

    private = [*ids, *PRIVATE_TEXTS]
    assert [(value, path) for path, text in texts.items() for value in private if value in text] == []


def test_the_lists_of_the_owner_show_her_objects(alice: User, parameters: dict[str, Any]) -> None:
    """Otherwise the test above would prove nothing."""
    text = "".join(texts_of_lists(logged_in(alice), key_of(alice), parameters).values())

    ids = [str(value) for name, value in parameters.items() if name.endswith("_id") and name != "output_id"]
    assert [value for value in (*ids, *PRIVATE_TEXTS) if value not in text] == []


@pytest.mark.parametrize("permissions", [[], ["view_heartbeat"]])
def test_staff_open_only_the_rows_that_their_permissions_name(
    staff: User, rows: dict[str, Model], permissions: list[str]
) -> None:
    User.objects.filter(pk=staff.pk).update(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = logged_in(User.objects.get(pk=staff.pk))

    # A route without a name only redirects to a route that has one.
    opened = {
        route.name
        for route in ADMIN_ROWS
        for response in get_and_post(client, admin_path(route, rows))
        if route.name and response.status_code not in REFUSED
    }

    assert opened == {f"generations_heartbeat_{view}" for view in ("change", "history") if permissions}


# --- The owner, and superusers ---


def test_the_owner_opens_every_page(alice: User, parameters: dict[str, Any]) -> None:
    client = logged_in(alice)

    for route in PAGES:
        responses = get_and_post(client, route.path(parameters), FORMS.get(route.name))

        assert any(response.status_code < 400 for response in responses), route
        assert not any(redirects_to(response, LOGIN) for response in responses), route


# Tables of Django, and a table from whose rows nothing is computed.
EDITABLE = ("auth_", "accounts_userlimits")


def test_a_superuser_views_every_row_and_changes_none(staff: User, rows: dict[str, Model]) -> None:
    client = logged_in(staff)
    read_only = [route for route in ADMIN_ROWS if route.name and not route.name.startswith(EDITABLE)]

    statuses = {
        route.name: tuple(response.status_code for response in get_and_post(client, admin_path(route, rows)))
        for route in read_only
    }

    assert {found for name, found in statuses.items() if name.endswith("_change")} == {(200, 403)}
    assert {found for name, found in statuses.items() if name.endswith("_delete")} == {(403, 403)}
    assert {found[0] for name, found in statuses.items() if not name.endswith("_delete")} == {200}
