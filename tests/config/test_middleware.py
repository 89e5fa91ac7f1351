"""Requests of programs pass by the middleware for browsers, and their responses have the same headers."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from accounts import api_keys

pytestmark = pytest.mark.django_db

CREDITS = "/api/v1/credits/"
SECURITY_HEADERS = {
    *("Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy"),
    "Cross-Origin-Opener-Policy",
}


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password="correct horse")


@pytest.fixture
def token(alice: User) -> dict[str, str]:
    return {"Authorization": f"Token {api_keys.issue(alice, 'test').plain}"}


def test_a_response_to_a_key_has_the_security_headers_of_one_to_a_session(
    client: Client, alice: User, token: dict[str, str]
) -> None:
    by_key = [client.get(path, headers=token) for path in (CREDITS, CREDITS, "/api/v1/nothing/")]
    client.force_login(alice)
    by_session = client.get(CREDITS)

    expected = {name: by_session[name] for name in SECURITY_HEADERS}
    assert [response.status_code for response in by_key] == [200, 200, 404]
    assert [{name: response.get(name) for name in SECURITY_HEADERS} for response in by_key] == [expected] * 3


def test_a_page_with_a_policy_of_its_own_has_it_for_a_key_as_well(
    client: Client, alice: User, token: dict[str, str]
) -> None:
    client.get(CREDITS, headers=token)
    by_key = client.get("/api/v1/docs/", headers=token)
    client.force_login(alice)

    assert by_key.status_code == 200
    assert by_key["Content-Security-Policy"] == client.get("/api/v1/docs/")["Content-Security-Policy"]
    assert by_key["Content-Security-Policy"] != client.get(CREDITS)["Content-Security-Policy"]


def test_a_session_does_not_help_a_wrong_key(client: Client, alice: User) -> None:
    client.force_login(alice)

    for scheme in ("Token", "bearer"):
        assert client.get(CREDITS, headers={"Authorization": f"{scheme} limn_wrong"}).status_code == 401


def test_a_key_decides_who_the_user_is_and_leaves_the_session_alone(client: Client, token: dict[str, str]) -> None:
    client.force_login(User.objects.create_user("bob"))

    response = client.get("/api/v1/keys/", headers=token)

    assert [key["name"] for key in response.json()["results"]] == ["test"]
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


def test_any_other_authorization_leaves_the_session_in_charge(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    headers = {"Authorization": "Basic YWxpY2U6"}

    assert client.get(CREDITS, headers=headers).status_code == 200
    # A browser may send it by itself, so the CSRF token is still required.
    assert client.post("/api/v1/keys/", {}, headers=headers).status_code == 403


def test_a_key_does_not_open_pages(client: Client, token: dict[str, str]) -> None:
    assert client.get("/keys/", headers=token).status_code == 302
