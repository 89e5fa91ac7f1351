"""A real nginx with the configuration that docs/nginx.conf recommends, where the machine has one."""

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
    """Run nginx in front of that port for as long as the block lasts. Yields its own port."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("nginx is missing. On Debian: apt-get install nginx-light")
    with scratch.folder("nginx") as folder, (folder / "log").open("wb") as log:
        port = free_port()
        (folder / "nginx.conf").write_text(_ours(folder, port, upstream_port))
        # Its workers would otherwise be somebody who may not look into our folder.
        options = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
        words: list[str | Path] = [program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr", "-g", options]
        process = subprocesses.start(words, output=log)
        try:
            until(lambda: _accepts(port), what="nginx")
            yield port
        finally:
            subprocesses.kill(process)


def _ours(folder: Path, port: int, upstream_port: int) -> str:
    """The very file, with other ports, and with folders that anybody may write to."""
    paths = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in _FOLDERS)
    changes = {
        "pid /run/nginx.pid;": f"pid {folder}/pid;",
        "worker_processes auto;": "worker_processes 1;",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        "server 127.0.0.1:8000;": f"server 127.0.0.1:{upstream_port};",
        "http {\n": f"http {{\n{paths}",
    }
    text = _CONFIGURATION.read_text()
    for theirs, ours in changes.items():
        assert text.count(theirs) == 1, theirs
        text = text.replace(theirs, ours)
    return text


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
