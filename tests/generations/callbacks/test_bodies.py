"""Requests to the callback URL that are no callbacks: too large, compressed or malformed, or with another method.

Case ids: docs/failure-modes.md, group B.
"""

from __future__ import annotations

import pytest
from django.test import Client

from generations.models import Generation, Phase, Submission
from tests.helpers.callback_sender import CallbackSender
from tests.helpers.web_server import callback_path

pytestmark = pytest.mark.django_db(transaction=True)

MALFORMED = [
    *(b"", b"null", b"[]", b'"text"', b"{", b'{"request_id": NaN}', b"\xef\xbb\xbf{}", b"\xff\xfe{\x00}\x00"),
    *(b"[" * 100_000, b'{"request_id": ' + b"9" * 5000 + b"}", b'{"request_id": 7}', "{“}".encode("utf-16")),
]


def test_b21_a_body_beyond_the_limit_is_rejected(callbacks: CallbackSender, submitted: Submission) -> None:
    for size in (1024 * 1024 + 1, 5 * 1024 * 1024):
        assert callbacks.send(submitted, b"x" * size) == 413


def test_b23_b24_b25_a_signed_body_that_is_no_callback_is_rejected(
    callbacks: CallbackSender, submitted: Submission
) -> None:
    assert [body[:50] for body in MALFORMED if callbacks.send(submitted, body) != 400] == []
    assert Generation.objects.get().phase == Phase.WAITING


def test_b26_a_compressed_body_is_rejected(client: Client, submitted: Submission) -> None:
    response = client.post(
        callback_path(submitted), b"\x1f\x8b", content_type="application/json", headers={"Content-Encoding": "gzip"}
    )

    assert response.status_code == 415


def test_b39_only_post_is_allowed(client: Client, submitted: Submission) -> None:
    methods = ("get", "head", "put", "patch", "delete", "options")

    assert {getattr(client, method)(callback_path(submitted)).status_code for method in methods} == {405}
