"""Runs a real nginx with the recommended configuration, docs/nginx.conf. Without nginx these tests are skipped."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config.management import subprocesses
from config.management.ports import free_port
from tests.services import scratch
from tests.services.waiting import until

_CONFIGURATION = Path(__file__).resolve().parents[2] / "docs/nginx.conf"
_FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(upstream_port: int) -> Iterator[int]:
    """Run nginx as a proxy of `upstream_port` for as long as the block lasts. Yields the port of nginx."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is missing. On Debian: apt-get install nginx-light")
    with scratch.folder("nginx") as folder, (folder / "log").open("wb") as log:
        port = free_port()
        (folder / "nginx.conf").write_text(_adapted_configuration(folder, port, upstream_port))
        # By default root starts the workers as a user that may not read this folder.
        options = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        command: list[str | Path] = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr", "-g", options]
        process = subprocesses.start(command, output=log)
        try:
            until(lambda: _accepts(port), what="nginx")
            yield port
        finally:
            subprocesses.kill(process)


def _adapted_configuration(folder: Path, port: int, upstream_port: int) -> str:
    """The text of docs/nginx.conf with other ports, and with folders that any user may write to."""
    paths = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in _FOLDERS)
    changes = {
        "pid /run/nginx.pid;": f"pid {folder}/pid;",
        "worker_processes auto;": "worker_processes 1;",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream_port};",
        "http {\n": f"http {{\n{paths}",
    }
    text = _CONFIGURATION.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
