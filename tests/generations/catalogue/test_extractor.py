"""Every file in an answer of fal, whatever its shape (fal-facts.md §7.5)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.catalogue import FoundFile, extract_files
from generations.catalogue.extractor import FILES_MAX, ROLE_CHARACTERS_MAX, URL_CHARACTERS_MAX

pytestmark = pytest.mark.once


def at(name: str) -> str:
    return f"https://v3b.fal.media/files/b/{name}"


def roles(answer: Any) -> list[str]:
    return [file.role for file in extract_files(answer)]


SHAPES = [
    ({"images": [{"url": at("0")}, {"url": at("1")}], "seed": 5}, ["images[0]", "images[1]"]),
    ({"image": {"url": at("0")}}, ["image"]),
    ({"video": {"url": at("0"), "fps": 24}}, ["video"]),
    ({"video": [{"url": at("0")}]}, ["video[0]"]),
    ({"audio_file": {"url": at("0")}}, ["audio_file"]),
    ({"model_mesh": {"url": at("0")}, "rendered_image": {"url": at("1")}}, ["model_mesh", "rendered_image"]),
    ({"model_urls": {"glb": {"url": at("0")}, "fbx": {"url": at("1")}}}, ["model_urls.glb", "model_urls.fbx"]),
    ({"texture_urls": [{"base_color": {"url": at("0")}}]}, ["texture_urls[0].base_color"]),
    ({"results": [{"images": [{"url": at("0")}]}]}, ["results[0].images[0]"]),
    ({"url": at("0")}, ["file"]),
    ([{"url": at("0")}], ["[0]"]),
    ({"image": {"url": "data:image/png;base64,iVBORw0KGgo="}}, ["image"]),
    ({"image": {"url": "http://127.0.0.1:9000/files/0.png"}}, ["image"]),
    ({"video": {"url": at("0"), "thumbnail": {"url": at("1")}}}, ["video", "video.thumbnail"]),
]


@pytest.mark.parametrize("answer, expected", SHAPES)
def test_files_are_found_wherever_they_stand(answer: Any, expected: list[str]) -> None:
    assert roles(answer) == expected


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], {}, "", 5, "https://v3b.fal.media/x", True),
        {"text": "hello", "chunks": [{"timestamp": [0, 1], "text": "hello"}]},
        {"images": []},
        {"images": [None, {"url": None}, {"url": 5}, {"url": ""}, {"url": ["https://a/b"]}, {"url": {"href": "x"}}]},
        {"image": {"url": "ftp://v3b.fal.media/x"}},
        {"image": {"url": "/files/x.png"}},
        {"video": {"start_frame_url": at("0")}},
    ],
    ids=repr,
)
def test_an_answer_without_files_has_none(answer: Any) -> None:
    assert extract_files(answer) == []


def test_the_same_address_is_one_file() -> None:
    answer = {"model_glb": {"url": at("0")}, "model_urls": {"glb": {"url": at("0")}, "fbx": {"url": at("1")}}}

    assert roles(answer) == ["model_glb", "model_urls.fbx"]


def test_what_a_file_claims_is_kept_as_a_claim() -> None:
    claims = {"content_type": "video/mp4", "file_size": 1000, "width": 1280, "height": 720.0, "duration": 8.5}

    (found,) = extract_files({"video": {"url": at("0"), **claims}})

    assert found == FoundFile(
        role="video",
        url=at("0"),
        claimed_type="video/mp4",
        claimed_size_bytes=1000,
        width=1280,
        height=720,
        duration_seconds=8.5,
    )


@pytest.mark.parametrize(
    "nonsense", [None, "1000", -1, True, [], {}, float("nan"), float("inf"), 2**53, 10**400, -0.5], ids=repr
)
def test_a_claim_that_is_nonsense_is_dropped(nonsense: Any) -> None:
    names = ("content_type", "file_size", "width", "height", "duration")
    claims = {name: nonsense for name in names if not (name == "content_type" and isinstance(nonsense, str))}

    (found,) = extract_files({"video": {"url": at("0"), **claims}})

    assert found == FoundFile(role="video", url=at("0"))


# --- Pictures that a safety checker has blackened ---


def _flags(flags: Any, images: int = 3) -> list[bool]:
    answer = {"images": [{"url": at(str(n))} for n in range(images)], "has_nsfw_concepts": flags}
    return [file.flagged for file in extract_files(answer)]


@pytest.mark.parametrize(
    "flags, expected",
    [
        ([False, True, False], [False, True, False]),
        ([True], [True, False, False]),
        ([True] * 9, [True] * 3),
        ([1, "true", [True]], [False] * 3),
        ([], [False] * 3),
        (None, [False] * 3),
        (True, [False] * 3),
        ({"0": True}, [False] * 3),
    ],
)
def test_a_blackened_picture_is_flagged(flags: Any, expected: list[bool]) -> None:
    assert _flags(flags) == expected


@pytest.mark.parametrize(
    "role", ["images[²]", f"images[{'9' * 5000}]", "images[x]", "images[-1]", "images[0]x", "images["]
)
def test_a_role_that_only_looks_like_a_picture_is_not_flagged(role: str) -> None:
    (found,) = extract_files({role: {"url": at("0")}, "has_nsfw_concepts": [True]})

    assert not found.flagged


# --- Too much of it ---


def test_of_ten_thousand_files_the_first_are_taken() -> None:
    found = extract_files({"images": [{"url": at(str(n))} for n in range(10_000)]})

    assert [file.role for file in found] == [f"images[{n}]" for n in range(FILES_MAX)]


def test_ten_thousand_times_the_same_file_is_one() -> None:
    assert roles({"images": [{"url": at("0")}] * 10_000}) == ["images[0]"]


@pytest.mark.parametrize("depth, found", [(15, 1), (16, 1), (17, 0), (500, 0)])
def test_a_file_may_lie_deep_but_not_absurdly_so(depth: int, found: int) -> None:
    answer: Any = {"url": at("0")}
    for _ in range(depth):
        answer = {"deeper": answer}

    assert len(extract_files(answer)) == found


@pytest.mark.parametrize(
    "scheme, length, found", [("https://", 4096, 1), ("https://", 4097, 0), ("data:", 5_000_000, 1)]
)
def test_an_absurdly_long_address_is_none(scheme: str, length: int, found: int) -> None:
    assert len(extract_files({"image": {"url": scheme.ljust(length, "x")}})) == found


# --- What no table could keep ---

UNSTORABLE = ["\0", "\ud800", "\x1b", "\n", "\x7f", "é", "\u202e"]


@pytest.mark.parametrize("character", UNSTORABLE, ids=ascii)
def test_an_address_that_could_not_be_stored_is_none(character: str) -> None:
    assert extract_files({"image": {"url": at(f"{character}.png")}}) == []


@pytest.mark.parametrize("character", UNSTORABLE, ids=ascii)
def test_a_role_that_could_not_be_stored_is_written_otherwise(character: str) -> None:
    assert roles({f"a{character}b": {"url": at("0")}}) == ["a_b"]


def test_a_role_is_only_so_long() -> None:
    assert roles({"k" * 10_000: {"url": at("0")}}) == ["k" * ROLE_CHARACTERS_MAX]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from([at("0"), at("1"), "data:x"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["url", "images"]), inner),
)


@given(JSON)
def test_any_answer_gives_files_that_can_be_stored(answer: Any) -> None:
    for file in extract_files(answer):
        words = file.role + file.url + file.claimed_type
        assert words.isascii() or file.claimed_type
        assert "\0" not in words
        assert len(file.role) <= ROLE_CHARACTERS_MAX
        assert file.url.startswith("data:") or len(file.url) <= URL_CHARACTERS_MAX
