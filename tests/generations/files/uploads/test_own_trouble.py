"""Trouble of this machine while an upload is processed: the answer is 503, and the upload can be completed later."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import IO, Any

import pytest
from rest_framework.test import APIClient

from generations.files import sandbox
from generations.models import Upload
from tests.fixtures.uploads import UPLOADS, declaration, put_bytes
from tests.helpers.images import picture

pytestmark = pytest.mark.django_db


@pytest.fixture
def created(api: APIClient) -> dict[str, Any]:
    """The response to the creation of an upload."""
    response: dict[str, Any] = api.post(UPLOADS, declaration(picture())).json()
    return response


@pytest.fixture
def uploaded(created: dict[str, Any]) -> dict[str, Any]:
    """An upload whose bytes were PUT."""
    assert put_bytes(created, picture()) in (200, 204)
    return created


def full_disk(*, from_file: int) -> Callable[[], IO[bytes]]:
    """Returns a function that makes temporary files. From this number on they are on a full disk."""
    real, made = tempfile.TemporaryFile, iter(range(99))

    def make() -> IO[bytes]:
        return open("/dev/full", "w+b") if next(made) >= from_file else real()

    return make


def break_sandbox(trouble: pytest.MonkeyPatch) -> None:
    """The system ends the child, for want of memory for example."""
    trouble.setattr(sandbox._helper, "request", lambda *files: b"")


def fill_disk(trouble: pytest.MonkeyPatch) -> None:
    trouble.setattr(tempfile, "TemporaryFile", full_disk(from_file=0))


def fill_disk_for_results(trouble: pytest.MonkeyPatch) -> None:
    trouble.setattr(tempfile, "TemporaryFile", full_disk(from_file=1))


@pytest.mark.usefixtures("each_storage")
@pytest.mark.parametrize("break_it", [break_sandbox, fill_disk, fill_disk_for_results])
def test_c29_an_upload_is_completed_when_the_trouble_is_over(
    break_it: Callable[..., None], api: APIClient, uploaded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{UPLOADS}{uploaded['id']}/complete/"
    with monkeypatch.context() as trouble:
        break_it(trouble)
        refused = api.post(url)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert Upload.objects.get().state == Upload.State.PENDING

    assert api.post(url).json()["state"] == "ready"


@pytest.mark.usefixtures("folder")
def test_c29_bytes_can_be_put_again_when_the_disk_has_space_again(
    created: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as trouble:
        fill_disk(trouble)
        assert put_bytes(created, picture()) == 503

    assert put_bytes(created, picture()) == 204
