"""Settings that contradict each other are found before anything starts, each under its own id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.once

SOUND = {
    "DEBUG": False,
    "SITE_URL": "https://limn.example.com",
    "ALLOWED_HOSTS": ["limn.example.com"],
    "FAL_KEY": "key",
    "FAL_USER_ID": "somebody",
    "FAL_QUEUE_URL": "https://queue.fal.run",
    "AWS_S3_ENDPOINT_URL": "https://s3.example.com",
    "AWS_STORAGE_BUCKET_NAME": "limn",
}
CONTRADICTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"DEBUG": True}, ["limn.E001"]),
    ({"DEBUG": True, "SITE_URL": "http://localhost:8000"}, ["limn.W002"]),
    ({"DEBUG": True, "SITE_URL": "http://[::1]:8000", "FAL_KEY": ""}, []),
    ({"ALLOWED_HOSTS": ["limn.example.com", "*"]}, ["limn.E002"]),
    ({"ALLOWED_HOSTS": ["*"], "DEBUG": True, "SITE_URL": "http://127.0.0.1:8000", "FAL_KEY": ""}, []),
    ({"AWS_STORAGE_BUCKET_NAME": ""}, ["limn.E003"]),
    ({"AWS_STORAGE_BUCKET_NAME": "", "AWS_S3_ENDPOINT_URL": ""}, []),
    ({"AWS_S3_ENDPOINT_URL": ""}, []),
    ({"FAL_USER_ID": ""}, ["limn.W001"]),
    ({"FAL_USER_ID": "", "FAL_KEY": ""}, []),
    ({"SITE_URL": "http://127.0.0.1:8000"}, ["limn.W002"]),
    ({"SITE_URL": "http://127.0.0.1:8000", "FAL_QUEUE_URL": "http://127.0.0.1:9000"}, []),
    ({"SITE_URL": "http://127.0.0.1:8000", "FAL_KEY": ""}, []),
]


def _found(settings: Settings, changes: dict[str, Any]) -> list[Any]:
    for name, value in {**SOUND, **changes}.items():
        setattr(settings, name, value)
    return run_checks(tags=["limn"])


@pytest.mark.parametrize("changes, ids", CONTRADICTIONS, ids=[str(changes) for changes, _ in CONTRADICTIONS])
def test_a_contradiction_has_an_id(settings: Settings, changes: dict[str, Any], ids: list[str]) -> None:
    """J7."""
    assert [message.id for message in _found(settings, changes)] == ids


def test_a_contradiction_says_what_to_do(settings: Settings) -> None:
    worst = {"DEBUG": True, "AWS_STORAGE_BUCKET_NAME": "", "FAL_USER_ID": ""}

    messages = _found(settings, worst)

    assert len(messages) == 3
    assert all(message.hint and str(message.msg) for message in messages)
