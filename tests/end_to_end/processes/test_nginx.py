"""Callbacks through nginx as configured in docs/nginx.conf: bodies arrive unchanged, and nothing is redirected.

Case ids: docs/failure-modes.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from config.management.ports import free_port
from generations.models import ProviderCallback
from simulator import Simulator
from tests.fixtures.callbacks import SubmitMany
from tests.helpers.web_server import Web, callback_path, read_status, request_head, serve
from tests.services.nginx import nginx
from tests.services.processes import Processes

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture(scope="module")
def nginx_port(shared_limn: Processes) -> Iterator[int]:
    """The port of an nginx in front of Limn."""
    with nginx(limn_port := free_port()) as port:
        serve(shared_limn, limn_port, SITE_URL=f"http://127.0.0.1:{port}")
        yield port


@pytest.fixture
def web(nginx_port: int, fal: Simulator) -> Web:
    return Web(port=nginx_port, fal=fal)


def body_with_text(fal: Simulator, request_id: str, text: str) -> bytes:
    """fal's callback for this request with `text` in one more member, in UTF-8 instead of escapes."""
    body = {**json.loads(fal.callback_body(request_id)), "text": text}
    return json.dumps(body, ensure_ascii=False).encode()


def test_j17_a_body_arrives_byte_for_byte(web: Web, submit_many: SubmitMany) -> None:
    texts = ["naïve 絵 🦊\u2028", "x" * 900_000, "é" * 200_000]
    submissions = submit_many(len(texts))
    bodies = [body_with_text(web.fal, str(s.request_id), text) for s, text in zip(submissions, texts, strict=True)]

    assert [web.deliver(s, body) for s, body in zip(submissions, bodies, strict=True)] == [200] * 3

    assert [bytes(callback.body) for callback in ProviderCallback.objects.order_by("pk")] == bodies


def test_j17_a_body_in_chunks_arrives_whole(web: Web, submit_many: SubmitMany) -> None:
    (submission,) = submit_many(1)
    body = body_with_text(web.fal, str(submission.request_id), "ü" * 50_000)
    headers = web.fal.sign(body, request_id=str(submission.request_id))

    chunks = (body[start : start + 1000] for start in range(0, len(body), 1000))
    assert web.post(callback_path(submission), chunks, headers).status_code == 200

    assert bytes(ProviderCallback.objects.get().body) == body


@pytest.mark.parametrize(
    "wrong_header",
    [{}, {"Host": "elsewhere.example"}, {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Host": "elsewhere.example"}],
    ids=["nothing", "host", "scheme", "forwarded-host"],
)
def test_b38_a_callback_with_a_wrong_header_is_accepted_and_not_redirected(
    web: Web, submit_many: SubmitMany, wrong_header: dict[str, str]
) -> None:
    for submission, slash in zip(submit_many(2), ("", "/"), strict=True):
        body = web.fal.callback_body(str(submission.request_id))
        headers = {**web.fal.sign(body, request_id=str(submission.request_id)), **wrong_header}

        assert web.post(callback_path(submission) + slash, body, headers).status_code == 200, slash


def test_b38_a_wrong_callback_address_is_404_and_not_redirected(web: Web) -> None:
    for path in ("/hooks/fal", "/hooks/fal/", "/hooks/fal/x/y", "/hooks//fal/x/y/", "/hooks/fal/x/y//"):
        assert web.post(path, b"{}", {}).status_code == 404, path


def test_b21_a_body_larger_than_the_limit_is_refused(web: Web, submit_many: SubmitMany) -> None:
    (submission,) = submit_many(1)

    assert web.deliver(submission, b"x" * 1_100_000) == 413


def test_b22_two_hundred_slow_bodies_do_not_delay_a_callback(web: Web, submit_many: SubmitMany) -> None:
    """The headers are correct and Limn would have to read the bodies, so only nginx can wait for them."""
    submissions = submit_many(20)
    headers = {**web.fal.sign(b"slow", request_id="slow"), "Content-Length": "1000"}
    paths = [callback_path(submissions[0]), "/login/"] * 100
    connections = [web.connect(request_head(path, headers) + b"s") for path in paths]

    assert [web.deliver(submission) for submission in submissions] == [200] * 20
    for connection in connections:
        connection.close()


def test_b22_a_connection_whose_body_never_arrives_is_closed(web: Web) -> None:
    connection = web.connect(request_head("/login/", {"Content-Length": "1000"}) + b"s")

    assert read_status(connection) in {0, 408}
