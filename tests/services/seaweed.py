"""Runs SeaweedFS, a real S3 server. It checks signatures, dates, policies and checksums, which test doubles do not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import botocore.exceptions
from botocore.config import Config

from config import s3
from config.management import subprocesses
from config.management.ports import free_port
from tests.services import scratch
from tests.services.waiting import until

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DOMAIN = "files.test"
_ACCESS_KEY, _SECRET_KEY, _REGION = "limn", "only-for-tests", "eu-central-1"
# For each of its HTTP ports it also uses the port 10,000 above, for gRPC.
_GRPC_OFFSET = 10_000


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket, and the key with which it is read and written."""

    name: str
    endpoint_url: str
    access_key: str = _ACCESS_KEY
    secret_key: str = _SECRET_KEY
    region: str = _REGION

    @property
    def client(self) -> S3Client:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )

    @property
    def environment(self) -> dict[str, str]:
        """The settings of this bucket, for a process."""
        return {
            "AWS_STORAGE_BUCKET_NAME": self.name,
            "AWS_S3_ENDPOINT_URL": self.endpoint_url,
            "AWS_S3_REGION_NAME": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    @property
    def storage(self) -> dict[str, Any]:
        """The entry of STORAGES for this bucket, made as in config/settings.py."""
        return s3.storage(
            name=self.name,
            endpoint_url=self.endpoint_url,
            region=self.region,
            access_key=self.access_key,
            secret_key=self.secret_key,
            signed_seconds=3600,
        )

    def keys(self) -> list[str]:
        """The keys of all objects, sorted."""
        return sorted(item["Key"] for item in self.client.list_objects_v2(Bucket=self.name).get("Contents", []))

    def read(self, key: str) -> bytes:
        """The content of an object."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()


class Seaweed:
    """The running server."""

    def __init__(self, port: int) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._buckets = 0

    def bucket(self) -> Bucket:
        """A new, empty bucket."""
        self._buckets += 1
        bucket = Bucket(name=f"limn-{self._buckets}", endpoint_url=self.endpoint_url)
        bucket.client.create_bucket(Bucket=bucket.name)
        return bucket

    def answers(self) -> bool:
        """Whether it accepts requests."""
        try:
            Bucket(name="", endpoint_url=self.endpoint_url).client.list_buckets()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return False
        return True


@contextmanager
def seaweed() -> Iterator[Seaweed]:
    """Run a server for as long as the block lasts."""
    with scratch.folder("seaweed") as folder, (folder / "log").open("wb") as log:
        s3, *others = (free_port(and_above=_GRPC_OFFSET) for _ in range(5))
        process = subprocesses.start(_command(folder, s3, others), output=log)
        try:
            server = Seaweed(s3)
            until(lambda: _is_up(server, process), what="SeaweedFS")
            yield server
        finally:
            # An orderly end takes seconds, and its files are removed anyway.
            subprocesses.kill(process)


def _is_up(server: Seaweed, process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"SeaweedFS ended with status {process.returncode} while it was starting.")
    return server.answers()


def _command(folder: Path, s3: int, others: list[int]) -> list[str | Path]:
    master, filer, volume, admin = others
    return [
        Path(sys.executable).parent / "weed",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-s3.port={s3}",
        # A bucket also has a host name, as behind the custom domain of an operator.
        f"-s3.domainName={DOMAIN}",
        f"-s3.config={_credentials(folder)}",
        f"-s3.localSocket={folder / 's3.sock'}",
        # Each bucket takes several volumes, which are small files. By default the free disk limits them to 75 buckets.
        "-volume.max=10000",
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false", "-master.telemetry=false"),
        *(f"-master.port={master}", f"-filer.port={filer}", f"-volume.port={volume}", f"-admin.port={admin}"),
    ]


def _credentials(folder: Path) -> Path:
    identity = {
        "name": "limn",
        "credentials": [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    path = folder / "s3.json"
    path.write_text(json.dumps({"identities": [identity]}))
    return path
