"""What is kept of an answer beside its files, and that no answer can cost the customer the files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.catalogue import extract_details
from generations.catalogue.details import BYTES_MAX, ENTRIES_MAX, NUMBER_MAX
from generations.catalogue.extractor import DEPTH_MAX

pytestmark = pytest.mark.once

FILE = {"url": "https://v3b.fal.media/files/b/0.png", "content_type": "image/png", "width": 4}
WORDS = [{"text": "Hello,", "start": 0.0, "end": 0.4}, {"text": "fox.", "start": 0.4, "end": 0.8}]


def test_what_is_not_a_file_is_kept() -> None:
    kept: list[dict[str, Any]] = [
        {"seed": 42},
        {"seed": 0},
        {"seed": NUMBER_MAX - 1},
        {"description": "A fox, looking back."},
        {"actual_prompt": "a red fox at dawn", "revised_prompt": "a fox"},
        {"timestamps": WORDS},
        {"lyrics": "La la\nla", "bpm": 120.5, "looped": False},
        {"segments": {"intro": [0, 4.5]}},
        {"description": "More at https://example.com/foxes"},
    ]

    assert [extract_details({"images": [FILE, FILE], **details}) for details in kept] == kept


def test_files_their_urls_and_what_is_recorded_elsewhere_are_left_out() -> None:
    left_out: list[dict[str, Any]] = [
        {"image": FILE, "video": {**FILE, "fps": 24, "thumbnail": FILE}, "model_urls": {"glb": FILE, "fbx": None}},
        {"start_frame_url": FILE["url"], "url": "files/0.png", "videoUrl": "0.mp4"},
        {"preview": FILE["url"], "others": [FILE["url"], "HTTP://127.0.0.1/a"], "mask": "data:image/png;base64,iVBOR"},
        {"prompt": "a fox", "has_nsfw_concepts": [False], "timings": {"inference": 4.0}, "task_id": "tripo-task"},
        {"description": "", "seed": None, "timestamps": None, "chunks": [], "meta": {}, "texts": [" ", [None, {}]]},
    ]

    for details in left_out:
        assert extract_details({**details, "steps": 42}) == {"steps": 42}, details


def test_the_other_entries_of_a_list_keep_their_places() -> None:
    masks = [{"mask": FILE, "label": "fox"}, {"mask": FILE}, {"mask": FILE, "label": "hen"}]

    assert extract_details({"masks": masks}) == {"masks": [{"label": "fox"}, None, {"label": "hen"}]}


def test_an_answer_without_details_has_none() -> None:
    answers: list[Any] = [None, [], {}, "", 5, [{"seed": 5}], FILE, {"images": [FILE]}]

    assert [extract_details(answer) for answer in answers] == [{}] * len(answers)


# --- What no database stores ---


def test_numbers_out_of_range_are_left_out() -> None:
    for number in (float("nan"), float("inf"), -float("inf"), 10**400, -(10**5000), 1e300, 2**64 + 1):
        kept = extract_details({"seed": number, "guidance": 3.5, "all": [1, number]})
        assert kept == {"guidance": 3.5, "all": [1, None]}


def test_characters_that_cannot_be_stored_are_replaced() -> None:
    for character in ("\0", "\ud800", "\udc00"):
        kept = extract_details({f"de{character}scription": f"a{character}fox"})
        assert kept == {"de\ufffdscription": "a\ufffdfox"}


# --- Limits ---


def test_the_depth_is_limited() -> None:
    deep: Any = "a fox"
    for _ in range(500):
        deep = {"deeper": deep}

    assert extract_details({"deep": deep, "seed": 42}) == {"seed": 42}
    assert extract_details({"deep": [[["a fox"]]]}) == {"deep": [[["a fox"]]]}


def test_a_list_that_is_too_long_is_left_out_as_a_whole() -> None:
    lists = {"words": ["fox"] * ENTRIES_MAX, "more": ["fox"] * (ENTRIES_MAX + 1)}

    assert list(extract_details(lists)) == ["words"]


def test_the_largest_entries_are_left_out_first() -> None:
    answer = {"seed": 42, "small": "s" * 1000, "large": "l" * (BYTES_MAX - 1000), "larger": "x" * BYTES_MAX}

    assert list(extract_details(answer)) == ["seed", "small"]


def test_the_size_is_limited_to_the_byte() -> None:
    for excess, kept in ((0, ["a", "b"]), (1, ["b"])):
        answer = {"a": "", "b": "x"}
        answer["a"] = "y" * (BYTES_MAX - len(json.dumps(answer)) + excess)

        assert list(extract_details(answer)) == kept


def test_of_two_entries_of_equal_size_it_is_always_the_same_that_is_left_out() -> None:
    answer = {"b": "x" * (BYTES_MAX // 2), "a": "x" * (BYTES_MAX // 2)}

    assert list(extract_details(answer)) == list(extract_details(dict(reversed(answer.items())))) == ["b"]


# --- Any answer ---

TEXTS = st.text(st.characters() | st.sampled_from(["\0", "\ud800"])) | st.sampled_from([FILE["url"], "data:,x"])
KEYS = TEXTS | st.sampled_from(["url", "image_url", "seed", "prompt", "timestamps"])
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.integers(10**300, 10**400) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
)


def depth_of(node: Any) -> int:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return 1 + max(map(depth_of, children), default=0)


@given(JSON | st.dictionaries(KEYS, JSON))
def test_the_details_of_any_answer_are_bounded_and_valid_json(answer: Any) -> None:
    details = extract_details(answer)

    written = json.dumps(details, allow_nan=False, ensure_ascii=False)
    assert json.loads(written) == details
    assert len(json.dumps(details)) <= BYTES_MAX
    assert "\\u0000" not in written
    assert written.encode().decode() == written
    assert depth_of(details) <= DEPTH_MAX + 2
    assert extract_details(details) == details
