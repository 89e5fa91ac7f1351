"""Files are found in every kind of answer, and a hostile answer does no harm (docs/fal.md, section 7.5)."""

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


def test_files_are_found_in_every_place() -> None:
    expected: list[tuple[Any, list[str]]] = [
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

    assert [roles(answer) for answer, _ in expected] == [found for _, found in expected]


def test_an_answer_without_file_objects_has_no_files() -> None:
    answers: list[Any] = [
        *(None, [], {}, "", 5, "https://v3b.fal.media/x", True),
        {"text": "hello", "chunks": [{"timestamp": [0, 1], "text": "hello"}]},
        {"images": []},
        {"images": [None, {"url": None}, {"url": 5}, {"url": ""}, {"url": ["https://a/b"]}, {"url": {"href": "x"}}]},
        {"image": {"url": "ftp://v3b.fal.media/x"}},
        {"image": {"url": "/files/x.png"}},
        {"video": {"start_frame_url": at("0")}},
    ]

    assert [answer for answer in answers if extract_files(answer) != []] == []


def test_a_url_that_occurs_twice_is_one_file() -> None:
    answer = {"model_glb": {"url": at("0")}, "model_urls": {"glb": {"url": at("0")}, "fbx": {"url": at("1")}}}

    assert roles(answer) == ["model_glb", "model_urls.fbx"]
    assert roles({"images": [{"url": at("0")}] * 10_000}) == ["images[0]"]


# --- Claims about a file ---


def test_the_claims_of_a_file_are_kept() -> None:
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


def test_implausible_claims_are_dropped() -> None:
    wrong: list[Any] = [None, "1000", -1, True, [], {}, float("nan"), float("inf"), 2**53, 10**400, -0.5]

    for claim in wrong:
        claims: dict[str, Any] = dict.fromkeys(("file_size", "width", "height", "duration"), claim)
        if not isinstance(claim, str):
            claims["content_type"] = claim

        assert extract_files({"video": {"url": at("0"), **claims}}) == [FoundFile(role="video", url=at("0"))], claim


def test_images_that_the_safety_checker_blackened_are_flagged() -> None:
    expected: list[tuple[Any, list[bool]]] = [
        ([False, True, False], [False, True, False]),
        ([True], [True, False, False]),
        ([True] * 9, [True] * 3),
        ([1, "true", [True]], [False] * 3),
        ([], [False] * 3),
        (None, [False] * 3),
        (True, [False] * 3),
        ({"0": True}, [False] * 3),
    ]

    for flags, flagged in expected:
        found = extract_files({"images": [{"url": at(str(n))} for n in range(3)], "has_nsfw_concepts": flags})
        assert [file.flagged for file in found] == flagged, flags


def test_only_the_files_of_the_image_list_are_flagged() -> None:
    for role in ("images[²]", f"images[{'9' * 5000}]", "images[x]", "images[-1]", "images[0]x", "images["):
        (found,) = extract_files({role: {"url": at("0")}, "has_nsfw_concepts": [True]})
        assert not found.flagged, role


# --- Limits ---


def test_the_number_of_files_is_limited() -> None:
    answer = {"images": [{"url": at(str(n))} for n in range(10_000)]}

    assert roles(answer) == [f"images[{n}]" for n in range(FILES_MAX)]


def test_the_depth_is_limited() -> None:
    found = {}
    for depth in (15, 16, 17, 500):
        answer: Any = {"url": at("0")}
        for _ in range(depth):
            answer = {"deeper": answer}
        found[depth] = len(extract_files(answer))

    assert found == {15: 1, 16: 1, 17: 0, 500: 0}


def test_the_length_of_a_url_is_limited_unless_it_holds_the_file() -> None:
    lengths = [("https://", 4096), ("https://", 4097), ("data:", 5_000_000)]

    assert [len(extract_files({"image": {"url": scheme.ljust(length, "x")}})) for scheme, length in lengths] == [
        1,
        0,
        1,
    ]


# --- Text that no database stores ---

UNSTORABLE = ["\0", "\ud800", "\x1b", "\n", "\x7f", "é", "\u202e"]


def test_a_url_with_other_characters_than_printable_ascii_is_none() -> None:
    assert [c for c in UNSTORABLE if extract_files({"image": {"url": at(f"{c}.png")}}) != []] == []


def test_other_characters_of_a_role_are_replaced_and_its_length_is_limited() -> None:
    assert [roles({f"a{c}b": {"url": at("0")}}) for c in UNSTORABLE] == [["a_b"]] * len(UNSTORABLE)
    assert roles({"k" * 10_000: {"url": at("0")}}) == ["k" * ROLE_CHARACTERS_MAX]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.sampled_from([at("0"), at("1"), "data:x"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["url", "images"]), inner),
)


@given(JSON)
def test_the_files_of_any_answer_can_be_stored(answer: Any) -> None:
    for file in extract_files(answer):
        assert (file.role + file.url).isascii()
        assert "\0" not in file.role + file.url + file.claimed_type
        assert len(file.role) <= ROLE_CHARACTERS_MAX
        assert file.url.startswith("data:") or len(file.url) <= URL_CHARACTERS_MAX
