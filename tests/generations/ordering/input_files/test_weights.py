"""Weights as input files: recognised by their beginning, after redirects, and never fetched as a whole."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from credits.models import Hold
from generations.catalogue import InvalidInput, find
from generations.files.inspection import is_safetensors
from generations.ordering import input_files
from simulator import Simulator
from tests.fixtures.api import GENERATIONS
from tests.helpers.scripted_servers import Connection, Handler, Server, respond, serving

pytestmark = pytest.mark.django_db(transaction=True)
BEGINNING = (64).to_bytes(8, "little") + b'{"lora.up.weight":'
PICKLE = b"\x80\x02}q\x00X\x06\x00\x00\x00weightq\x01"
LOCATION = ["input", "loras", 0, "path"]


def endless(beginning: bytes) -> Handler:
    """Serves a file that is too large to be fetched."""

    def behave(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 800000000\r\n\r\n" + beginning)
        while connection.pause(0.01):
            connection.send(bytes(65536))

    return behave


def drips(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
    while connection.pause(0.05):
        connection.send(b"\x40")


def redirect(to: str) -> Handler:
    return respond("302 Found", f"Location: {to}", "Content-Length: 0")


def sdxl(path: Any, **inputs: Any) -> dict[str, Any]:
    """The body of an order with these weights."""
    return {"model": "fast-sdxl", "input": {"prompt": "a fox", "loras": [{"path": path}], **inputs}}


def permitted_url(server: Server, settings: Any) -> str:
    """The URL of weights on this server, which the operator allows as it allows fal's hosts."""
    settings.FAL_MEDIA_HOSTS = [*settings.FAL_MEDIA_HOSTS, server.host]
    return f"{server.url}/fox.safetensors"


def errors_of(answer: Any) -> list[tuple[list[Any], str]]:
    """The locations and codes of the errors of a refused order, for which nothing is held."""
    assert answer.status_code == 422, answer.content
    assert not Hold.objects.exists()
    return [(error["loc"], error["type"]) for error in answer.json()["errors"]]


def test_only_the_beginning_of_weights_is_fetched(api: APIClient, fal: Simulator, settings) -> None:
    with serving(endless(BEGINNING)) as server:
        answer = api.post(GENERATIONS, sdxl(path := permitted_url(server, settings)))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["loras"] == [{"path": path, "scale": 1}]


def test_a_file_of_another_format_is_refused(api: APIClient, settings) -> None:
    with serving(endless(PICKLE)) as server:
        answer = api.post(GENERATIONS, sdxl(permitted_url(server, settings)))

    assert errors_of(answer) == [(LOCATION, "weights_load_error")]


def test_a_redirect_is_followed(api: APIClient, fal: Simulator, settings) -> None:
    with serving(endless(BEGINNING)) as storage, serving(redirect(permitted_url(storage, settings))) as server:
        answer = api.post(GENERATIONS, sdxl(permitted_url(server, settings)))

    assert answer.status_code == 202, answer.content
    assert storage.connections == 1


def test_g17_a_redirect_to_a_private_address_is_not_followed(api: APIClient, settings) -> None:
    with serving(endless(BEGINNING)) as private, serving(redirect(f"{private.url}/fox.safetensors")) as server:
        answer = api.post(GENERATIONS, sdxl(permitted_url(server, settings)))

    assert errors_of(answer) == [(LOCATION, "file_download_error")]
    assert private.connections == 0


def test_a_circle_of_redirects_is_refused(api: APIClient, settings) -> None:
    with serving(redirect("/fox.safetensors")) as server:
        answer = api.post(GENERATIONS, sdxl(permitted_url(server, settings)))

    assert errors_of(answer) == [(LOCATION, "file_download_error")]
    assert server.connections == 4


def test_weights_that_arrive_too_slowly_are_refused(api: APIClient, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "CHECK_SECONDS", 0.5)

    with serving(drips) as server:
        answer = api.post(GENERATIONS, sdxl(permitted_url(server, settings)))

    assert errors_of(answer) == [(LOCATION, "file_download_error")]


def test_a_name_at_hugging_face_is_resolved_by_fal(api: APIClient, fal: Simulator) -> None:
    embedding = {"path": "a-fox/embedding_1.0", "tokens": ["<fox>"]}

    answer = api.post(GENERATIONS, sdxl("a-fox/lora", embeddings=[embedding]))

    assert answer.status_code == 202, answer.content
    assert fal.log.accepted()[-1].inputs["embeddings"] == [embedding]


WRONG_PATHS: list[Any] = [
    *("https://example.com/fox.bin", "https://example.com/fox.ckpt", "https://10.0.0.1/fox.safetensors", "fox"),
    *("../fox", "a/b/c", "a/..", "a fox/b", "http://example.com/fox.safetensors", 7, None, {"upload": "x"}),
]


@pytest.mark.once
def test_a_malformed_path_is_refused() -> None:
    for path in WRONG_PATHS:
        with pytest.raises(InvalidInput) as refused:
            find("fast-sdxl").read({"prompt": "a fox", "loras": [{"path": path}]})

        assert refused.value.errors[0]["loc"] == ["loras", 0, "path"], path


@pytest.mark.once
def test_safetensors_are_recognised_by_their_beginning() -> None:
    others = [b"", BEGINNING[:8], BEGINNING[:7], b"\1" + bytes(7) + b"{", b"\xff" * 8 + b"{", PICKLE, b"{}"]

    assert is_safetensors(BEGINNING)
    assert [beginning for beginning in others if is_safetensors(beginning)] == []
