"""Alice with a key and credits, storage of both kinds, and the ways in which a picture comes to us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from generations import wiring
from tests.api.conftest import alice, anonymous, api, bob, customer, key_of, read_to_the_end
from tests.copying.conftest import either, folder
from tests.simulator.customer import NO_TLS, get
from tests.uploads.pictures import picture

__all__ = ["alice", "anonymous", "api", "bob", "customer", "either", "folder"]

UPLOADS = "/api/v1/uploads/"


@pytest.fixture(autouse=True)
def nothing_is_left_over() -> Iterator[None]:
    yield
    wiring.close()


@pytest.fixture
def api_of_bob(bob: User) -> APIClient:
    return key_of(bob)


def announced(content: bytes, **changes: Any) -> dict[str, Any]:
    return {"file_name": "fox.png", "content_type": "image/png", "size": len(content), **changes}


def put(ticket: dict[str, Any], content: bytes, **headers: str) -> int:
    """PUT as any program would: to the bucket over its socket, or to ourselves. The status."""
    headers = {**ticket["headers"], **headers}
    if ticket["url"].startswith("http://testserver/"):
        sent = {name: value for name, value in headers.items() if name not in ("Content-Type", "Content-Length")}
        kind = headers["Content-Type"]
        return int(Client().put(ticket["url"], content, content_type=kind, headers=sent).status_code)
    return httpx.put(ticket["url"], content=content, headers=headers, trust_env=False, verify=NO_TLS).status_code


def fetched(url: str) -> bytes:
    """What a stranger gets at this address: of the bucket, over its socket, or of ourselves."""
    if url.startswith("http://testserver/"):
        return bytes(read_to_the_end(Client().get(url)).body)
    return get(url).raise_for_status().content


@pytest.fixture
def bring(api: APIClient) -> Callable[..., dict[str, Any]]:
    """`bring(content)`: announced, put and completed; what the API says of it then."""

    def bring_it(content: bytes = b"", **changes: Any) -> dict[str, Any]:
        content = content or picture()
        ticket = api.post(UPLOADS, announced(content, **changes)).json()
        assert put(ticket, content) in (200, 204)
        return {"id": ticket["id"], **api.post(f"{UPLOADS}{ticket['id']}/complete/").json()}

    return bring_it
