"""Bodies that are no JSON, or are more than JSON: always 400, 413, 415 or 422, never a 500."""

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


CORPUS = {
    "words": b"nonsense",
    "cut short": b"{",
    "single quotes": b"{'model': 'flux-schnell'}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "list": b"[]",
    "null": b"null",
    "number": b"42",
    "text": b'"text"',
    "two documents": b"{} {}",
    "key twice": b'{"model": "a", "model": "b"}',
    "key twice inside": PROMPT % b'{"a": 1, "a": 2}',
    "NaN": PROMPT % b"NaN",
    "infinity": PROMPT % b"-Infinity",
    "beyond floats": PROMPT % b"1e999",
    "5,000 digits": PROMPT % (b"9" * 5000),
    "beyond bigint": PROMPT % b"-9999999999999999999",
    "NUL": PROMPT % b'"\\u0000"',
    "lone surrogate": PROMPT % b'"\\ud800"',
    "lone surrogate in a key": PROMPT % b'{"\\udfff": 1}',
    "not UTF-8": PROMPT % b'"\xff\xfe"',
    "deep": PROMPT % (b"[" * 33 + b"]" * 33),
    "very deep": PROMPT % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "very deep and cut short": b"[" * 100_000,
    "UTF-16": json.dumps(CAT).encode("utf-16"),
    "UTF-32": json.dumps(CAT).encode("utf-32"),
}


@pytest.mark.parametrize("body", CORPUS.values(), ids=CORPUS)
@pytest.mark.parametrize("address", [GENERATIONS, "/api/v1/quotes/"])
def test_g10_what_is_no_plain_json_object_is_malformed(api: APIClient, address: str, body: bytes) -> None:
    response = api.post(address, body, content_type=JSON)

    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert not Generation.objects.exists()


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "latin-1", "nonsense"])
def test_only_utf8_is_read_whatever_the_header_says(api: APIClient, charset: str) -> None:
    response = api.post(GENERATIONS, json.dumps(CAT).encode(), content_type=f"{JSON}; charset={charset}")

    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_a_body_beyond_the_limit_is_too_large(api: APIClient) -> None:
    response = api.post(GENERATIONS, b" " * (BODY_BYTES_MAX + 1), content_type=JSON)

    assert (response.status_code, response.json()["code"]) == (413, "too_large")


def test_a_body_at_the_limit_is_read(api: APIClient) -> None:
    assert api.post(GENERATIONS, b"{}".ljust(BODY_BYTES_MAX), content_type=JSON).status_code == 422


@pytest.mark.parametrize("content_type", ["text/plain", FORM, "multipart/form-data; boundary=x", "nonsense"])
def test_a_body_of_another_type_is_not_supported(api: APIClient, content_type: str) -> None:
    response = api.post(GENERATIONS, b"model=flux-schnell", content_type=content_type)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_a_packed_body_is_not_unpacked(api: APIClient, encoding: str) -> None:
    response = api.post(
        GENERATIONS, json.dumps(CAT).encode(), content_type=JSON, headers={"Content-Encoding": encoding}
    )

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


def test_no_body_at_all_lacks_everything(api: APIClient) -> None:
    assert [error["loc"] for error in api.post(GENERATIONS).json()["errors"]] == [["model"], ["input"]]


def test_a_form_is_not_even_searched_for_a_csrf_token(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice)
    browser.cookies["csrftoken"] = "x" * 32

    response = browser.post(GENERATIONS, b"x=" + bytes(2 * BODY_BYTES_MAX), content_type=FORM)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_whatever_is_read_can_be_written_and_sent_again(value: object) -> None:
    raw = json.dumps({"value": value}).encode()

    try:
        read = read_object(raw)
    except ParseError:
        return

    assert json.loads(json.dumps(read, ensure_ascii=False, allow_nan=False).encode("utf-8")) == read


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_fail_to_be_read(raw: bytes) -> None:
    with suppress(ParseError):
        assert isinstance(read_object(raw), dict)


def test_a_body_of_unknown_length_is_not_taken_for_none(api: APIClient) -> None:
    response = api.generic("POST", GENERATIONS, "", content_type=JSON, HTTP_TRANSFER_ENCODING="chunked")

    assert (response.status_code, response.json()["code"]) == (411, "length_required")
