"""With a wrong setting Limn does not start. The last line of its output names the setting, the reason and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.processes import run_command

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
def test_j7_j8_limn_does_not_start_with_a_wrong_setting(name: str, tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), name: WRONG[name]}
    # The tests set the key itself, which would contradict its file.
    if name.endswith("_KEY_FILE"):
        environment[name.removesuffix("_FILE")] = ""

    check = run_command("check", environment=environment)

    assert check.returncode == 1
    last_line = check.stderr.strip().splitlines()[-1]
    assert last_line.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}")
    assert "hunter2" not in check.stderr


def test_j7_limn_does_not_start_with_settings_that_contradict_each_other(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), "AWS_S3_ENDPOINT_URL": "https://s3.example.com"}

    check = run_command("check", environment=environment)

    assert check.returncode == 1
    assert "(limn.E003) AWS_S3_ENDPOINT_URL is set and AWS_STORAGE_BUCKET_NAME is not" in check.stderr
    assert "HINT: Set AWS_STORAGE_BUCKET_NAME" in check.stderr
