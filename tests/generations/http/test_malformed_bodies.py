"""Bodies that are not JSON, or are ambiguous or too large: 400, 413, 415 or 422, and never a server error."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError
from rest_framework.test import APIClient

from generations.http.parsers import BODY_BYTES_MAX, read_object
from generations.models import Generation
from tests.fixtures.api import CAT, GENERATIONS

pytestmark = [pytest.mark.django_db, pytest.mark.once]
PROMPT = b'{"model": "flux-schnell", "input": {"prompt": %s}}'
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


MALFORMED = {
    "plain text": b"nonsense",
    "truncated": b"{",
    "single quotes": b"{'model': 'flux-schnell'}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "list": b"[]",
    "null": b"null",
    "number": b"42",
    "string": b'"text"',
    "two documents": b"{} {}",
    "duplicate key": b'{"model": "a", "model": "b"}',
    "duplicate key inside": PROMPT % b'{"a": 1, "a": 2}',
    "NaN": PROMPT % b"NaN",
    "infinity": PROMPT % b"-Infinity",
    "larger than a float": PROMPT % b"1e999",
    "5,000 digits": PROMPT % (b"9" * 5000),
    "larger than a bigint": PROMPT % b"-9999999999999999999",
    "NUL": PROMPT % b'"\\u0000"',
    "lone surrogate": PROMPT % b'"\\ud800"',
    "lone surrogate in a key": PROMPT % b'{"\\udfff": 1}',
    "not UTF-8": PROMPT % b'"\xff\xfe"',
    "deep": PROMPT % (b"[" * 33 + b"]" * 33),
    "very deep": PROMPT % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "very deep and truncated": b"[" * 100_000,
    "UTF-16": json.dumps(CAT).encode("utf-16"),
    "UTF-32": json.dumps(CAT).encode("utf-32"),
}


@pytest.mark.parametrize("url", [GENERATIONS, "/api/v1/quotes/"])
def test_g10_a_body_that_is_no_plain_json_object_is_malformed(settings, api: APIClient, url: str) -> None:
    settings.USER_REQUESTS_PER_MINUTE = 0
    for name, body in MALFORMED.items():
        response = api.post(url, body, content_type=JSON)

        assert (response.status_code, response.json()["code"]) == (400, "malformed"), name
    assert not Generation.objects.exists()


def test_a_body_in_another_charset_is_malformed(api: APIClient) -> None:
    for charset in ("utf-16", "utf-7", "latin-1", "nonsense"):
        response = api.post(GENERATIONS, json.dumps(CAT).encode(), content_type=f"{JSON}; charset={charset}")

        assert (response.status_code, response.json()["code"]) == (400, "malformed"), charset


def test_a_body_above_the_limit_is_too_large(api: APIClient) -> None:
    response = api.post(GENERATIONS, b" " * (BODY_BYTES_MAX + 1), content_type=JSON)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_body_at_the_limit_is_read(api: APIClient) -> None:
    assert api.post(GENERATIONS, b"{}".ljust(BODY_BYTES_MAX), content_type=JSON).status_code == 422


def test_a_body_of_another_media_type_is_not_supported(api: APIClient) -> None:
    for content_type in ("text/plain", FORM, "multipart/form-data; boundary=x", "nonsense"):
        response = api.post(GENERATIONS, b"model=flux-schnell", content_type=content_type)

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type"), content_type


def test_a_compressed_body_is_not_supported(api: APIClient) -> None:
    body = json.dumps(CAT).encode()
    for encoding in ("gzip", "br", "deflate"):
        response = api.post(GENERATIONS, body, content_type=JSON, headers={"Content-Encoding": encoding})

        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type"), encoding


def test_a_missing_body_lacks_every_required_member(api: APIClient) -> None:
    assert [error["loc"] for error in api.post(GENERATIONS).json()["errors"]] == [["model"], ["input"]]


def test_a_form_is_refused_without_reading_it_for_a_csrf_token(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)
    browser.cookies["csrftoken"] = "x" * 32

    response = browser.post(GENERATIONS, b"x=" + bytes(2 * BODY_BYTES_MAX), content_type=FORM)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_a_chunked_body_is_refused_and_not_taken_for_an_empty_one(api: APIClient) -> None:
    response = api.generic("POST", GENERATIONS, "", content_type=JSON, HTTP_TRANSFER_ENCODING="chunked")

    assert (response.status_code, response.json()["code"]) == (411, "length_required")


# --- Random bodies ---

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_every_value_that_is_read_can_be_stored_and_sent(value: object) -> None:
    raw = json.dumps({"value": value}).encode()

    try:
        read = read_object(raw)
    except ParseError:
        return

    assert json.loads(json.dumps(read, ensure_ascii=False, allow_nan=False).encode("utf-8")) == read


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(raw: bytes) -> None:
    with suppress(ParseError):
        assert isinstance(read_object(raw), dict)
