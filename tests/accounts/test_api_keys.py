"""API keys: shown once, stored as digests, revoked at once; and no key can issue a key that is stronger than itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts import api_keys
from accounts.api_keys import Rights, RightsExceeded
from accounts.models import ApiKey
from tests.helpers.clocks import all_clocks_at

pytestmark = pytest.mark.django_db
SOON = timezone.now() + timedelta(days=1)
LATER = SOON + timedelta(days=1)


def words(*values: str) -> frozenset[str]:
    return frozenset(values)


def issue(user: User, **rights: Any) -> ApiKey:
    return api_keys.issue(user, "test", rights=Rights(**rights)).key


# --- Issuing, finding and revoking ---


def test_a_key_is_found_by_the_text_that_was_shown(alice: User) -> None:
    key, plain = api_keys.issue(alice, "laptop")

    found = api_keys.find(plain)

    assert found == key
    assert found.user == alice


def test_the_table_does_not_contain_the_key(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")

    row = ApiKey.objects.values().get()

    assert plain not in str(row)
    assert plain.startswith(row["prefix"])
    assert len(plain) - len(row["prefix"]) > 32


def test_every_key_is_different(alice: User) -> None:
    assert api_keys.issue(alice, "one").plain != api_keys.issue(alice, "two").plain


def test_a_revoked_key_is_not_found(alice: User) -> None:
    key, plain = api_keys.issue(alice, "laptop")

    assert [api_keys.revoke(key), api_keys.revoke(key)] == [True, False]
    assert api_keys.find(plain) is None


def test_an_expired_key_is_not_found(alice: User) -> None:
    plain = api_keys.issue(alice, "laptop", rights=Rights(expires_at=timezone.now() + timedelta(hours=1))).plain
    assert api_keys.find(plain)

    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert api_keys.find(plain) is None


def test_a_key_of_an_inactive_user_is_not_found(alice: User) -> None:
    plain = api_keys.issue(alice, "laptop").plain
    User.objects.update(is_active=False)

    assert api_keys.find(plain) is None


def test_the_last_use_is_recorded_at_most_once_a_minute(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    recorded = []

    for seconds in (0, 59, 61):
        with all_clocks_at(now + timedelta(seconds=seconds)):
            api_keys.find(plain)
        recorded.append(ApiKey.objects.get().last_used_at)

    assert recorded == [now, now, now + timedelta(seconds=61)]


def test_finding_a_key_in_steady_use_takes_one_query(alice: User) -> None:
    _, plain = api_keys.issue(alice, "laptop")
    api_keys.find(plain)

    with CaptureQueriesContext(connection) as queries:
        api_keys.find(plain)

    assert len(queries) == 1


def test_a_key_without_scopes_of_its_own_reads_and_orders(alice: User) -> None:
    assert ApiKey(user=alice).scopes == ["read", "order"]


def test_the_current_key_is_forgotten_between_requests(alice: User, client: Client) -> None:
    """A thread serves the next request, which may be another user's."""
    plain = api_keys.issue(alice, "laptop").plain

    client.get("/api/v1/credits/", headers={"Authorization": f"Token {plain}"})

    assert api_keys.current() is None


def test_a_request_does_not_inherit_a_key(alice: User, client: Client) -> None:
    api_keys.set_current(issue(alice))

    assert client.get("/api/v1/credits/").status_code == 401
    assert api_keys.current() is None


def test_a_key_that_cannot_manage_erases_only_its_own_orders(alice: User) -> None:
    orders, manages = issue(alice, scopes=words("order")), issue(alice, scopes=words("order", "manage"))
    may_erase = {}

    for name, key in (("session", None), ("orders", orders), ("manages", manages)):
        api_keys.clear_current()
        if key is not None:
            api_keys.set_current(key)
        may_erase[name] = [api_keys.may_erase(key_id) for key_id in (orders.pk, manages.pk, None)]
    api_keys.clear_current()

    assert may_erase == {"session": [True] * 3, "orders": [True, False, False], "manages": [True] * 3}


# --- No key issues a stronger one ---

MANAGER = words("read", "manage")
# The rights of a key, and rights that it must not give to another key.
STRONGER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"scopes": MANAGER}, {"scopes": words("read", "order")}),
    ({"models": words("flux-dev")}, {}),
    ({"models": words("flux-dev")}, {"models": words("flux-dev", "flux-schnell")}),
    ({"expires_at": SOON}, {}),
    ({"expires_at": SOON}, {"expires_at": LATER}),
    ({"credits_max": 9}, {}),
    ({"credits_max": 9}, {"credits_max": 10}),
]
# With a second key that may spend as much, it could spend twice its limit.
SECOND_LIMIT: tuple[dict[str, Any], dict[str, Any]] = ({"credits_max": 9}, {"credits_max": 9})
WEAKER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({}, {"credits_max": 9, "expires_at": SOON, "models": words("flux-dev")}),
    ({"scopes": MANAGER}, {"scopes": words("read")}),
    ({"models": words("flux-dev", "flux-schnell")}, {"models": words("flux-dev")}),
    ({"expires_at": LATER}, {"expires_at": SOON}),
]


def test_a_key_issues_no_stronger_key(alice: User) -> None:
    for own, wanted in [*STRONGER, SECOND_LIMIT]:
        issuer = issue(alice, **own)
        before = ApiKey.objects.count()

        with pytest.raises(RightsExceeded):
            api_keys.issue(alice, "stronger", rights=Rights(**wanted), by=issuer)

        assert ApiKey.objects.count() == before, (own, wanted)


def test_a_key_issues_a_weaker_key(alice: User) -> None:
    for own, wanted in WEAKER:
        issuer = issue(alice, **own)

        issued = api_keys.issue(alice, "weaker", rights=Rights(**wanted), by=issuer).key

        assert Rights.of(issued) == Rights(**wanted)


def test_a_key_gives_no_key_more_rights_not_even_itself(alice: User) -> None:
    unlimited = {"scopes": words("manage"), "expires_at": None, "credits_max": None, "models": words()}

    for own, wanted in STRONGER:
        key = issue(alice, **own)

        with pytest.raises(RightsExceeded):
            api_keys.change(key, by=key, **{**unlimited, **wanted})

        assert Rights.of(ApiKey.objects.get(pk=key.pk)) == Rights(**own)


def test_a_key_adds_no_right_to_a_key_that_has_others_beyond_it(alice: User) -> None:
    """The added scope is one of its own, but the changed key could then order models that it cannot."""
    weak = issue(alice, models=words("flux-dev"))
    other = issue(alice, scopes=words("read"))

    with pytest.raises(RightsExceeded):
        api_keys.change(other, by=weak, scopes=words("read", "order"))


def test_any_key_may_rename_and_limit_a_stronger_key(alice: User) -> None:
    weak = issue(alice, credits_max=0, scopes=words("manage"))
    strong = issue(alice)

    for change, expected in (
        ({"name": "new"}, Rights()),
        ({"scopes": words("read")}, Rights(scopes=words("read"))),
        ({"credits_max": 0}, Rights(scopes=words("read"), credits_max=0)),
    ):
        api_keys.change(strong, by=weak, **change)

        assert Rights.of(ApiKey.objects.get(pk=strong.pk)) == expected
    assert strong.name == "new"
