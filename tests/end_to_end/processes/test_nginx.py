"""Behind nginx, as docs/nginx.conf recommends it: the body untouched, and never a redirect. J17, B22, B38."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from config.management.ports import free_port
from generations.models import ProviderCallback
from simulator import Simulator
from tests.fixtures.callbacks import Hiring
from tests.helpers.web_server import Web, head, path_of, serve, status_on
from tests.services.nginx import nginx
from tests.services.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture(scope="module")
def proxied(shared_limn: Processes) -> Iterator[int]:
    """The proxy's port."""
    with nginx(port := free_port()) as outside:
        serve(shared_limn, port, SITE_URL=f"http://127.0.0.1:{outside}")
        yield outside


@pytest.fixture
def web(proxied: int, fal: Simulator) -> Web:
    return Web(port=proxied, fal=fal)


def worded(fal: Simulator, request_id: str, words: str) -> bytes:
    verdict = {**json.loads(fal.callback_body(request_id)), "words": words}
    return json.dumps(verdict, ensure_ascii=False).encode()


def test_j17_bodies_arrive_byte_for_byte(web: Web, hire: Hiring) -> None:
    attempts = hire(3)
    wordings = ["naïve 絵 🦊\u2028", "x" * 900_000, "é" * 200_000]
    bodies = [worded(web.fal, str(a.request_id), words) for a, words in zip(attempts, wordings, strict=True)]

    assert [web.deliver(attempt, body) for attempt, body in zip(attempts, bodies, strict=True)] == [200] * 3

    assert [bytes(delivery.body) for delivery in ProviderCallback.objects.order_by("pk")] == bodies


def test_j17_a_body_in_chunks_arrives_whole(web: Web, hire: Hiring) -> None:
    (attempt,) = hire(1)
    body = worded(web.fal, str(attempt.request_id), "ü" * 50_000)
    headers = web.fal.sign(body, request_id=str(attempt.request_id))

    chunks = (body[start : start + 1000] for start in range(0, len(body), 1000))
    assert web.post(path_of(attempt), chunks, headers).status_code == 200

    assert bytes(ProviderCallback.objects.get().body) == body


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    "wrong",
    [{}, {"Host": "elsewhere.example"}, {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Host": "elsewhere.example"}],
    ids=["nothing", "host", "scheme", "forwarded-host"],
)
def test_b38_no_wrong_header_makes_a_redirect(web: Web, hire: Hiring, wrong: dict[str, str], slash: str) -> None:
    (attempt,) = hire(1)
    body = web.fal.callback_body(str(attempt.request_id))
    headers = {**web.fal.sign(body, request_id=str(attempt.request_id)), **wrong}

    assert web.post(path_of(attempt) + slash, body, headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/hooks/fal", "/hooks/fal/", "/hooks/fal/x/y", "/hooks//fal/x/y/", "/hooks/fal/x/y//"]
)
def test_b38_not_even_a_wrong_address_is_redirected(web: Web, path: str) -> None:
    assert web.post(path, b"{}", {}).status_code == 404


def test_b21_a_body_beyond_the_cap_is_refused(web: Web, hire: Hiring) -> None:
    (attempt,) = hire(1)

    assert web.deliver(attempt, b"x" * 1_100_000) == 413


def test_b22_two_hundred_slow_bodies_wait_at_nginx_and_true_callbacks_do_not(web: Web, hire: Hiring) -> None:
    """Well-formed headers, and addresses where Limn would have to read: only the proxy can wait for them."""
    attempts = hire(20)
    claims = web.fal.sign(b"slow", request_id="slow")
    paths = [path_of(attempts[0]), "/login/"] * 100
    slow = [web.dial(head(path, {**claims, "Content-Length": "1000"}) + b"s") for path in paths]

    assert [web.deliver(attempt) for attempt in attempts] == [200] * 20
    for line in slow:
        line.close()


def test_b22_a_slow_body_is_let_go(web: Web) -> None:
    line = web.dial(head("/login/", {"Content-Length": "1000"}) + b"s")

    assert status_on(line) in {0, 408}
