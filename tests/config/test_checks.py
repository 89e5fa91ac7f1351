"""System checks find settings that contradict each other. Each contradiction has an id and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import CheckMessage, run_checks

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

pytestmark = pytest.mark.once

CONSISTENT = {
    "DEBUG": False,
    "SITE_URL": "https://limn.example.com",
    "ALLOWED_HOSTS": ["limn.example.com"],
    "FAL_KEY": "key",
    "FAL_USER_ID": "user_1",
    "FAL_QUEUE_URL": "https://queue.fal.run",
    "AWS_S3_ENDPOINT_URL": "https://s3.example.com",
    "AWS_STORAGE_BUCKET_NAME": "limn",
}
# Changes to the settings above, and the ids of the messages that follow.
CHANGES: list[tuple[dict[str, Any], list[str]]] = [
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


def messages_of(settings: Settings, changes: dict[str, Any]) -> list[CheckMessage]:
    """What Limn's checks report about consistent settings with these changes."""
    for name, value in {**CONSISTENT, **changes}.items():
        setattr(settings, name, value)
    return run_checks(tags=["limn"])


def test_j7_each_contradiction_is_reported_under_its_id(settings: Settings) -> None:
    for changes, ids in CHANGES:
        assert [message.id for message in messages_of(settings, changes)] == ids, changes


def test_each_contradiction_has_a_hint(settings: Settings) -> None:
    changes = {"DEBUG": True, "AWS_STORAGE_BUCKET_NAME": "", "FAL_USER_ID": ""}

    messages = messages_of(settings, changes)

    assert len(messages) == 3
    assert all(message.hint and str(message.msg) for message in messages)
