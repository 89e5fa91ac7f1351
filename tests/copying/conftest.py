"""A customer and her orders as elsewhere; and storage of both kinds, empty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from generations import lifecycle
from generations.models import Generation
from simulator import Simulator
from tests.generations.conftest import Ordering, alice, order, submitted, tidy_connections
from tests.generations.work import Work
from tests.services.seaweed import Bucket

__all__ = ["alice", "order", "submitted", "tidy_connections"]

Answering = Callable[..., Generation]


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def answered(fal: Simulator, order: Ordering, work: Work) -> Answering:
    """`answered("http://…/film.mp4")`: an order whose files lie at these addresses."""

    def answer(*urls: str) -> Generation:
        fal.script("hold", "callback:lost")
        generation = order(prompt="cats", num_images=len(urls))
        work.submit()
        lifecycle.answered(generation.submissions.get(), {"images": [{"url": url} for url in urls]})
        return generation

    return answer


@pytest.fixture
def folder(settings, tmp_path: Path) -> Path:
    """A new folder, and Limn keeps its files there."""
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": str(tmp_path / "media")}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    return tmp_path / "media"


@pytest.fixture(params=["folder", "bucket"])
def either(request: pytest.FixtureRequest) -> Path | Bucket:
    """Both kinds of storage, one after the other."""
    found: Path | Bucket = request.getfixturevalue(request.param)
    return found
