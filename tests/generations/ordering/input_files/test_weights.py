"""Weights that an order names: looked at by their head, wherever the address leads, and never fetched whole."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from credits.models import Hold
from generations.catalogue import InvalidInput, find
from generations.files.inspection import is_safetensors
from simulator import Simulator
from tests.fixtures.api import GENERATIONS
from tests.helpers.scripted_servers import Server, Visit, serving

pytestmark = pytest.mark.django_db(transaction=True)
HEAD = (64).to_bytes(8, "little") + b'{"lora.up.weight":'
PICKLE = b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01"


def endless(head: bytes) -> Any:
    """A file of which nobody should want the rest."""

    def behave(visit: Visit) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 800000000\r\n\r\n" + head)
        while visit.pause(0.01):
            visit.send(bytes(65536))

    return behave


def dripping(visit: Visit) -> None:
    visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while visit.pause(0.05):
        visit.send(b"\x40")


def redirecting(to: str) -> Any:
    return lambda visit: visit.send(f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())


def sdxl(path: str, **others: Any) -> dict[str, Any]:
    return {"model": "fast-sdxl", "input": {"prompt": "a fox", "loras": [{"path": path}], **others}}


def named(server: Server, settings: Any) -> str:
    """An address that the operator allows, as fal's own hosts are."""
    settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, server.host]
    return f"{server.url}/fox.safetensors"


def told(answer: Any) -> list[tuple[list[Any], str]]:
    assert answer.status_code == 422, answer.content
    assert not Hold.objects.exists()
    return [(error["loc"], error["type"]) for error in answer.json()["errors"]]


def test_weights_at_an_address_are_ordered_with_and_only_their_head_is_fetched(
    api: APIClient, fal: Simulator, settings
) -> None:
    with serving(endless(HEAD)) as shop:
        answer = api.post(GENERATIONS, sdxl(path := named(shop, settings)))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["loras"] == [{"path": path, "scale": 1}]


def test_what_is_no_safetensors_is_told_before_anything_is_held(api: APIClient, settings) -> None:
    with serving(endless(PICKLE)) as shop:
        answer = api.post(GENERATIONS, sdxl(named(shop, settings)))

    assert told(answer) == [(["input", "loras", 0, "path"], "weights_load_error")]


def test_an_address_that_leads_on_is_followed(api: APIClient, fal: Simulator, settings) -> None:
    with serving(endless(HEAD)) as store, serving(redirecting(named(store, settings))) as shop:
        answer = api.post(GENERATIONS, sdxl(named(shop, settings)))

    assert answer.status_code == 202, answer.content
    assert store.connections == 1


def test_g17_an_address_that_leads_into_our_network_is_not_followed(api: APIClient, settings) -> None:
    with serving(endless(HEAD)) as inside, serving(redirecting(f"{inside.url}/fox.safetensors")) as shop:
        answer = api.post(GENERATIONS, sdxl(named(shop, settings)))

    assert told(answer) == [(["input", "loras", 0, "path"], "file_download_error")]
    assert inside.connections == 0


def test_an_address_that_leads_in_a_circle_is_told(api: APIClient, settings) -> None:
    with serving(redirecting("/fox.safetensors")) as shop:
        answer = api.post(GENERATIONS, sdxl(named(shop, settings)))

    assert told(answer) == [(["input", "loras", 0, "path"], "file_download_error")]
    assert shop.connections == 4


def test_weights_that_drip_are_told_in_time(api: APIClient, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generations.ordering.input_files.CHECK_SECONDS", 0.5)

    with serving(dripping) as shop:
        answer = api.post(GENERATIONS, sdxl(named(shop, settings)))

    assert told(answer) == [(["input", "loras", 0, "path"], "file_download_error")]


def test_a_name_at_hugging_face_is_fals_to_find(api: APIClient, fal: Simulator) -> None:
    embedding = {"path": "a-fox/embedding_1.0", "tokens": ["<fox>"]}

    answer = api.post(GENERATIONS, sdxl("a-fox/lora", embeddings=[embedding]))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["embeddings"] == [embedding]


@pytest.mark.once
@pytest.mark.parametrize(
    "path",
    [
        *("https://example.com/fox.bin", "https://example.com/fox.ckpt", "https://10.0.0.1/fox.safetensors", "fox"),
        *("../fox", "a/b/c", "a/..", "a fox/b", "http://example.com/fox.safetensors", 7, None, {"upload": "x"}),
    ],
    ids=str,
)
def test_a_path_that_could_be_anything_is_refused(path: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        find("fast-sdxl").read({"prompt": "a fox", "loras": [{"path": path}]})

    assert refused.value.errors[0]["loc"] == ["loras", 0, "path"]


@pytest.mark.once
@pytest.mark.parametrize("head", [b"", HEAD[:8], HEAD[:7], b"\1" + bytes(7) + b"{", b"\xff" * 8 + b"{", PICKLE, b"{}"])
def test_what_does_not_begin_like_safetensors_is_none(head: bytes) -> None:
    assert is_safetensors(HEAD)
    assert not is_safetensors(head)
