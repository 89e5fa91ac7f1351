"""What an answer says beside its files: what is kept of it, and that nothing in it can cost the files."""

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
SPOKEN = [{"text": "Hello,", "start": 0.0, "end": 0.4}, {"text": "fox.", "start": 0.4, "end": 0.8}]


@pytest.mark.parametrize(
    "said",
    [
        {"seed": 42},
        {"seed": 0},
        {"seed": NUMBER_MAX - 1},
        {"description": "A fox, looking back."},
        {"actual_prompt": "a red fox at dawn", "revised_prompt": "a fox"},
        {"timestamps": SPOKEN},
        {"lyrics": "La la\nla", "bpm": 120.5, "looped": False},
        {"segments": {"intro": [0, 4.5]}},
        {"description": "More at https://example.com/foxes"},
    ],
    ids=str,
)
def test_what_stands_beside_the_files_is_kept(said: dict[str, Any]) -> None:
    assert extract_details({"images": [FILE, FILE], **said}) == said


@pytest.mark.parametrize(
    "said",
    [
        {"image": FILE, "video": {**FILE, "fps": 24, "thumbnail": FILE}, "model_urls": {"glb": FILE, "fbx": None}},
        {"start_frame_url": FILE["url"], "url": "files/0.png", "videoUrl": "0.mp4"},
        {"preview": FILE["url"], "others": [FILE["url"], "HTTP://127.0.0.1/a"], "mask": "data:image/png;base64,iVBOR"},
        {"prompt": "a fox", "has_nsfw_concepts": [False], "timings": {"inference": 4.0}, "task_id": "tripo-task"},
        {"description": "", "seed": None, "timestamps": None, "chunks": [], "meta": {}, "texts": [" ", [None, {}]]},
    ],
    ids=" ".join,
)
def test_files_their_addresses_and_what_is_known_already_are_left_out(said: dict[str, Any]) -> None:
    assert extract_details({**said, "seed": 42}) == {"seed": 42}


def test_what_is_left_out_of_a_list_moves_nothing_up() -> None:
    masks = [{"mask": FILE, "label": "fox"}, {"mask": FILE}, {"mask": FILE, "label": "hen"}]

    assert extract_details({"masks": masks}) == {"masks": [{"label": "fox"}, None, {"label": "hen"}]}


@pytest.mark.parametrize("answer", [None, [], {}, "", 5, [{"seed": 5}], FILE, {"images": [FILE]}], ids=str)
def test_where_nothing_is_said_nothing_is_kept(answer: Any) -> None:
    assert extract_details(answer) == {}


# --- What no table could keep ---


@pytest.mark.parametrize(
    "number",
    [float("nan"), float("inf"), -float("inf"), 10**400, -(10**5000), 1e300, 2**64 + 1],
    ids=lambda n: f"{n:.3}" if isinstance(n, float) else str(n.bit_length()),
)
def test_a_number_beyond_all_sense_is_left_out(number: Any) -> None:
    assert extract_details({"seed": number, "guidance": 3.5, "all": [1, number]}) == {"guidance": 3.5, "all": [1, None]}


UNSTORABLE = ["\0", "\ud800", "\udc00"]


@pytest.mark.parametrize("character", UNSTORABLE, ids=ascii)
def test_characters_that_could_not_be_stored_are_written_otherwise(character: str) -> None:
    assert extract_details({f"de{character}scription": f"a{character}fox"}) == {"de\ufffdscription": "a\ufffdfox"}


# --- Too much of it ---


def test_what_lies_absurdly_deep_is_left_out() -> None:
    deep: Any = "a fox"
    for _ in range(500):
        deep = {"deeper": deep}

    assert extract_details({"deep": deep, "seed": 42}) == {"seed": 42}
    assert extract_details({"deep": [[["a fox"]]]}) == {"deep": [[["a fox"]]]}


def test_half_of_an_endless_list_is_not_taken_for_all_of_it() -> None:
    lists = {"words": ["fox"] * ENTRIES_MAX, "more": ["fox"] * (ENTRIES_MAX + 1)}

    assert list(extract_details(lists)) == ["words"]


def test_of_too_much_the_largest_goes_first() -> None:
    said = {"seed": 42, "small": "s" * 1000, "large": "l" * (BYTES_MAX - 1000), "larger": "x" * BYTES_MAX}

    assert list(extract_details(said)) == ["seed", "small"]


@pytest.mark.parametrize("excess, kept", [(0, ["a", "b"]), (1, ["b"])])
def test_to_the_byte(excess: int, kept: list[str]) -> None:
    said = {"a": "", "b": "x"}
    said["a"] = "y" * (BYTES_MAX - len(json.dumps(said)) + excess)

    assert list(extract_details(said)) == kept


def test_of_two_that_are_as_large_it_is_always_the_same_that_goes() -> None:
    said = {"b": "x" * (BYTES_MAX // 2), "a": "x" * (BYTES_MAX // 2)}

    assert list(extract_details(said)) == list(extract_details(dict(reversed(said.items())))) == ["b"]


# --- Whatever it is ---

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
def test_of_any_answer_something_is_kept_that_is_json_everywhere(answer: Any) -> None:
    kept = extract_details(answer)

    written = json.dumps(kept, allow_nan=False, ensure_ascii=False)
    assert json.loads(written) == kept
    assert len(json.dumps(kept)) <= BYTES_MAX
    assert "\\u0000" not in written
    assert written.encode().decode() == written
    assert depth_of(kept) <= DEPTH_MAX + 2
    assert extract_details(kept) == kept
