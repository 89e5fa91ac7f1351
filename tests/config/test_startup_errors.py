"""Limn refuses to start with a wrong setting, and says which, why and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.processes import output_of

pytestmark = [pytest.mark.once, pytest.mark.slow]

WRONG = {
    "DEBUG": "perhaps",
    "PORT": "80000",
    "SITE_URL": "http://limn.example.com",
    "FAL_QUEUE_URL": "http://queue.fal.run",
    "FAL_JWKS_URL": "http://rest.fal.ai/jwks.json",
    "FAL_MEDIA_HOSTS": "https://fal.media",
    "SECRET_KEY": "short",
    "SECRET_KEY_FILE": "/nowhere/key",
    "FAL_KEY_FILE": "/dev/null",
    "DATA_DIR": "/dev/null/limn",
    "MEDIA_ROOT": "/dev/null/media",
    "DATABASE_URL": "mysql://limn:hunter2@db/limn",
    "REDIS_URL": "hunter2@redis",
    "EMAIL_URL": "pigeon://hunter2",
    "LOG_LEVEL": "LOUD",
    "AWS_S3_ENDPOINT_URL": "http://s3.example.com",
    "AWS_ACCESS_KEY_ID": "half",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_keeps_limn_from_starting(name: str, tmp_path: Path) -> None:
    """J7, J8: every setting that can be wrong, each as a start of its own."""
    # No fal is set here that another setting would contradict, and nobody's data is touched.
    environment = {"DATA_DIR": str(tmp_path), name: WRONG[name]}
    if name == "SECRET_KEY_FILE":
        environment["SECRET_KEY"] = ""
    if name == "FAL_KEY_FILE":
        environment["FAL_KEY"] = ""

    run = output_of("check", environment=environment)

    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}")
    assert "hunter2" not in run.stderr


def test_a_contradiction_keeps_limn_from_starting(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), "AWS_S3_ENDPOINT_URL": "https://s3.example.com"}

    run = output_of("check", environment=environment)

    assert run.returncode == 1
    assert "(limn.E003) AWS_S3_ENDPOINT_URL is set and AWS_STORAGE_BUCKET_NAME is not" in run.stderr
    assert "HINT: Set AWS_STORAGE_BUCKET_NAME" in run.stderr
