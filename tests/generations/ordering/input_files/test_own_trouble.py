"""Trouble of this machine while a file that is named by URL is checked: 503, and not an error of the customer's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial

import pytest
from rest_framework.test import APIClient

from generations.files import sandbox
from generations.models import Generation
from simulator import Simulator
from tests.fixtures.api import GENERATIONS, order
from tests.helpers.background_work import Work

__all__ = ["order"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def image_url(order: Callable[..., Generation], fal: Simulator) -> str:
    """The URL of an image at fal, on a host that FAL_MEDIA_HOSTS names."""
    Work().until_done(order())
    return f"{fal.url}{fal.log.files()[0].path}"


def break_sandbox(trouble: pytest.MonkeyPatch) -> None:
    trouble.setattr(sandbox._helper, "request", lambda *files: b"")


def fill_disk(trouble: pytest.MonkeyPatch) -> None:
    trouble.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "w+b"))


@pytest.mark.parametrize("break_it", [break_sandbox, fill_disk])
def test_c29_an_order_is_accepted_when_the_trouble_is_over(
    break_it: Callable[..., None], api: APIClient, image_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"model": "flux-2-edit", "input": {"prompt": "make it snow", "image_urls": [image_url]}}
    with monkeypatch.context() as trouble:
        break_it(trouble)
        refused = api.post(GENERATIONS, body)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert Generation.objects.count() == 1

    assert api.post(GENERATIONS, body).status_code == 202
