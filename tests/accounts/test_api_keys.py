"""API keys: shown once, kept as digests, revoked at once; what each may, and that none makes a stronger one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.api_keys import Rights, TooStrong
from accounts.models import ApiKey
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import CAT, GENERATIONS

pytestmark = pytest.mark.django_db
KEYS = "/api/v1/keys/"
OPERATIONS = [
    (method, path, operation["x-scope"])
    for path, item in SchemaGenerator().get_schema(request=None, public=True)["paths"].items()
    for method, operation in item.items()
    if not path.endswith("/schema/")
]
SOON = timezone.now() + timedelta(days=1)
LATER = SOON + timedelta(days=1)


def client_with(user: User, **rights: Any) -> APIClient:
    """A program with a key that may so much."""
    client = APIClient()
    client.key = api_keys.issue(user, "test", rights=Rights(**rights))  # type: ignore[attr-defined]
    client.credentials(HTTP_AUTHORIZATION=f"Token {client.key.plain}")  # type: ignore[attr-defined]
    return client


def words(*scopes: str) -> frozenset[str]:
    return frozenset(scopes)


def test_a_key_is_found_by_what_was_shown(alice: User) -> None:
    key, plain = api_keys.issue(alice, "laptop")

    found = api_keys.find(plain)

    assert found == key
    assert found is not None
    assert found.user == alice


def test_the_table_holds_nothing_that_opens_anything(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")

    row = ApiKey.objects.values().get()

    assert plain not in str(row)
    assert plain.startswith(row["prefix"])
    assert len(plain) - len(row["prefix"]) > 32


def test_a_revoked_key_opens_nothing_from_then_on(alice: User) -> None:
    key, plain = api_keys.issue(alice, "laptop")

    assert [api_keys.revoke(key), api_keys.revoke(key)] == [True, False]
    assert api_keys.find(plain) is None


def test_no_two_keys_are_alike(alice: User) -> None:
    assert api_keys.issue(alice, "one").plain != api_keys.issue(alice, "two").plain


def test_its_use_is_noted_at_most_once_a_minute(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    uses = []

    for seconds in (0, 59, 61):
        with time_machine.travel(now + timedelta(seconds=seconds), tick=False):
            api_keys.find(plain)
        uses.append(ApiKey.objects.get().last_used_at)

    assert uses == [now, now, now + timedelta(seconds=61)]


def test_a_key_in_steady_use_costs_one_question(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")
    api_keys.find(plain)

    with CaptureQueriesContext(connection) as queries:
        api_keys.find(plain)

    assert len(queries) == 1


def test_an_expired_key_opens_nothing(alice: User) -> None:
    plain = api_keys.issue(alice, "laptop", rights=Rights(expires_at=timezone.now() + timedelta(hours=1))).plain
    assert api_keys.find(plain)

    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert api_keys.find(plain) is None


# --- What a key may ---


@pytest.mark.once
@pytest.mark.parametrize("method, path, scope", OPERATIONS)
def test_every_operation_needs_its_scope(alice: User, method: str, path: str, scope: str) -> None:
    others = words("read", "order", "manage") - {scope}
    address = path.format_map(_Anything())

    without, with_it = (getattr(client_with(alice, scopes=it), method)(address) for it in (others, words(scope)))

    assert (without.status_code, without.json()["detail"]) == (403, f"This key lacks the scope “{scope}”.")
    assert with_it.status_code != 403


class _Anything(dict[str, str]):
    """An id for every name."""

    def __missing__(self, name: str) -> str:
        return str(uuid4())


@pytest.mark.parametrize(
    "method, path, scope",
    [
        ("get", "/api/v1/generations/", "read"),
        ("post", "/api/v1/quotes/", "read"),
        ("post", "/api/v1/generations/", "order"),
        ("post", "/api/v1/generations/{generation_id}/cancel/", "order"),
        ("get", "/api/v1/keys/", "manage"),
        ("patch", "/api/v1/keys/{key_id}/", "manage"),
        ("get", "/api/v1/retention/", "read"),
        ("put", "/api/v1/retention/", "manage"),
    ],
)
def test_the_document_says_which(method: str, path: str, scope: str) -> None:
    assert (method, path, scope) in OPERATIONS


def test_keys_from_before_there_were_scopes_read_and_order(alice: User) -> None:
    assert ApiKey(user=alice).scopes == ["read", "order"]


def test_a_session_may_everything(alice: User, client: APIClient) -> None:
    client.force_login(alice)

    assert client.get(KEYS).status_code == 200


# --- Made, looked at, changed, revoked ---


def test_a_key_is_made_shown_once_and_opens_what_it_should(alice: User, api: APIClient) -> None:
    wish = {"name": " shop ", "scopes": ["read"], "credits_max": 9, "models": ["flux-dev"], "expires_at": f"{SOON}"}

    answer = api.post(KEYS, wish)

    made = answer.json()
    shown = {name: made[name] for name in ("name", "scopes", "credits_max", "credits_spent", "models")}
    assert (answer.status_code, answer["Cache-Control"]) == (201, "no-store")
    assert shown == {"name": "shop", "scopes": ["read"], "credits_max": 9, "credits_spent": 0, "models": ["flux-dev"]}
    assert datetime.fromisoformat(made["expires_at"]) == SOON
    assert APIClient().get("/api/v1/credits/", headers={"Authorization": f"Token {made['key']}"}).status_code == 200
    assert made["key"] not in api.get(answer["Location"]).content.decode()


def test_who_says_nothing_gets_a_key_that_reads_and_orders(api: APIClient) -> None:
    made = api.post(KEYS, {"name": "shop"}).json()

    assert (made["scopes"], made["expires_at"], made["credits_max"], made["models"]) == (
        ["order", "read"],
        None,
        None,
        [],
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"name": None},
        {"scopes": []},
        {"scopes": ["all"]},
        {"scopes": "read"},
        {"credits_max": -1},
        {"credits_max": 1.5},
        {"models": ["nonsense"]},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2099-01-01T00:00:00"},
        {"expires_at": "soon"},
        {"expires_at": 4_000_000_000},
        {"digest": "d"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_nonsense_is_refused_with_its_place(api: APIClient, wrong: dict[str, Any], method: str) -> None:
    address = {"post": KEYS, "patch": f"{KEYS}{ApiKey.objects.get().uid}/"}[method]

    no = getattr(api, method)(address, {**({"name": "shop"} if method == "post" else {}), **wrong})

    assert (no.status_code, no.json()["errors"][0]["loc"][0]) == (422, next(iter(wrong)))
    assert ApiKey.objects.count() == 1


def test_the_list_shows_what_each_has_spent_in_one_question(alice: User, patient_fal: Simulator) -> None:
    client = client_with(alice)
    assert client.post(GENERATIONS, CAT).status_code == 202
    client_with(alice)

    with CaptureQueriesContext(connection) as queries:
        listed = client.get(KEYS).json()["results"]

    assert [key["credits_spent"] for key in listed] == [0, Generation.objects.get().credits]
    assert sum("credits_spent" in query["sql"] for query in queries) == 1


def test_a_key_is_changed_where_it_is_told_to_be(alice: User, api: APIClient) -> None:
    other = api_keys.issue(alice, "old", rights=Rights(credits_max=5)).key

    changed = api.patch(f"{KEYS}{other.uid}/", {"name": "new", "expires_at": f"{SOON}"}).json()

    other.refresh_from_db()
    assert (other.name, other.expires_at, other.credits_max) == ("new", SOON, 5)
    assert (changed["name"], changed["credits_max"]) == ("new", 5)
    assert api.patch(f"{KEYS}{other.uid}/", {"credits_max": None}).json()["credits_max"] is None


def test_a_key_is_revoked_at_once(alice: User, api: APIClient) -> None:
    other = client_with(alice)
    address = f"{KEYS}{ApiKey.objects.latest('pk').uid}/"

    assert [api.delete(address).status_code for _ in range(2)] == [204, 204]

    assert other.get("/api/v1/credits/").status_code == 401
    assert api.get(address).json()["revoked_at"] is not None


# --- No key makes a stronger one ---

MANAGER = words("read", "manage")
STRONGER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"scopes": MANAGER}, {"scopes": words("read", "order")}),
    ({"models": words("flux-dev")}, {}),
    ({"models": words("flux-dev")}, {"models": words("flux-dev", "flux-schnell")}),
    ({"expires_at": SOON}, {}),
    ({"expires_at": SOON}, {"expires_at": LATER}),
    ({"credits_max": 9}, {}),
    ({"credits_max": 9}, {"credits_max": 10}),
    # As much again would be twice as much.
    ({"credits_max": 9}, {"credits_max": 9}),
]
WEAKER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"credits_max": 9, "expires_at": SOON, "models": words("flux-dev")}),
    ({"scopes": MANAGER}, {"scopes": words("read")}),
    ({"models": words("flux-dev", "flux-schnell")}, {"models": words("flux-dev")}),
    ({"expires_at": LATER}, {"expires_at": SOON}),
]


@pytest.mark.once
@pytest.mark.parametrize("own, wanted", STRONGER)
def test_a_key_makes_no_stronger_key(alice: User, own: dict[str, Any], wanted: dict[str, Any]) -> None:
    mine = api_keys.issue(alice, "mine", rights=Rights(**own)).key

    with pytest.raises(TooStrong):
        api_keys.issue(alice, "more", rights=Rights(**wanted), by=mine)

    assert ApiKey.objects.get() == mine


@pytest.mark.once
@pytest.mark.parametrize("own, wanted", WEAKER)
def test_a_key_makes_a_weaker_key(alice: User, own: dict[str, Any], wanted: dict[str, Any]) -> None:
    mine = api_keys.issue(alice, "mine", rights=Rights(**own)).key

    assert Rights.of(api_keys.issue(alice, "less", rights=Rights(**wanted), by=mine).key) == Rights(**wanted)


@pytest.mark.parametrize("own, wanted", STRONGER[:-1])
def test_a_key_makes_none_stronger_by_changing_it_not_even_itself(
    alice: User, own: dict[str, Any], wanted: dict[str, Any]
) -> None:
    mine = api_keys.issue(alice, "mine", rights=Rights(**own)).key
    nothing = {"scopes": words("manage"), "expires_at": None, "credits_max": None, "models": words()}

    with pytest.raises(TooStrong):
        api_keys.change(mine, by=mine, **{**nothing, **wanted})

    assert Rights.of(ApiKey.objects.get()) == Rights(**own)


def test_a_weak_key_adds_nothing_to_a_strong_one(alice: User) -> None:
    """Each part may be its own, and the whole would still be more than it has."""
    weak = api_keys.issue(alice, "weak", rights=Rights(models=words("flux-dev"))).key
    other = api_keys.issue(alice, "other", rights=Rights(scopes=words("read"))).key

    with pytest.raises(TooStrong):
        api_keys.change(other, by=weak, scopes=words("read", "order"))


@pytest.mark.parametrize("change", [{"name": "new"}, {"scopes": words("read")}, {"credits_max": 0}])
def test_any_key_that_manages_may_take_something_away(alice: User, change: dict[str, Any]) -> None:
    weak = api_keys.issue(alice, "weak", rights=Rights(credits_max=0, scopes=words("manage"))).key
    strong = api_keys.issue(alice, "strong").key

    api_keys.change(strong, by=weak, **change)

    assert Rights.of(ApiKey.objects.get(pk=strong.pk)).within(Rights())


def test_through_the_api_it_is_403_and_a_person_in_a_browser_may(alice: User, client: APIClient) -> None:
    client.force_login(alice)
    wish = {"name": "shop", "scopes": ["order"]}

    by_key = client_with(alice, scopes=MANAGER).post(KEYS, wish)
    by_hand = client.post(KEYS, wish, content_type="application/json")

    assert (by_key.status_code, by_key.json()["code"]) == (403, "not_allowed")
    assert by_hand.status_code == 201
