"""One installation of Limn in a chaos run: a database, a web server, and workers.

The environment starts one for the load and, in some runs, a neighbour: a second deployment on the same bucket and the
same fal account. Both are reached over HTTP by load clients.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from config.management import local_http
from quality.chaos.processes import ROOT, ManagedProcess
from tests.services.waiting import until

WEB_CHILDREN = 2


@dataclass(kw_only=True)
class Installation:
    """The processes of one Limn. `start` starts them, and the stack ends them."""

    name: str
    """Begins the names of its processes and of its database."""
    database: str
    """The name of its database."""
    port: int
    """Of its web server."""
    workers: int
    variables: Mapping[str, str]
    """The environment of its processes, apart from what faults add."""
    direct_variables: Mapping[str, str]
    """The same with a database URL that leads past proxies and poolers, for commands that must not be disturbed."""
    folder: Path
    worker_processes: list[ManagedProcess] = field(default_factory=list)

    @property
    def site_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def processes(self) -> list[ManagedProcess]:
        return [self.web, *self.worker_processes]

    def run_command(self, *arguments: str) -> str:
        """Run `manage.py` with these arguments, past proxies and poolers. Returns what it prints."""
        command = [sys.executable, "manage.py", *arguments]
        ended = subprocess.run(
            command, cwd=ROOT, env={**self.direct_variables}, check=True, capture_output=True, text=True
        )
        return ended.stdout

    def start(self, stack: ExitStack) -> None:
        """Start its processes. The tables must exist."""
        serve = ["manage.py", "serve", "--port", str(self.port), "--workers", str(WEB_CHILDREN)]
        self.web = self._start_process("web", serve, stack)
        self.worker_processes = [
            self._start_process(f"worker{number}", ["manage.py", "work"], stack) for number in range(self.workers)
        ]

    def halt(self, *, by_kill: bool) -> None:
        """End all processes, and leave them ended until `start_again`."""
        # At the same time: each may take seconds to end in an orderly way.
        with ThreadPoolExecutor() as pool:
            list(pool.map(partial(ManagedProcess.halt, by_kill=by_kill), self.processes))

    def start_again(self) -> None:
        """Start all processes after `halt`, and wait until they are ready."""
        for process in self.processes:
            process.start_again()
        until(self.is_ready, what=f"{self.database} after an outage")

    def is_ready(self) -> bool:
        return local_http.status(f"{self.site_url}/health/ready") == 200

    def _start_process(self, name: str, command: list[str], stack: ExitStack) -> ManagedProcess:
        process = ManagedProcess(f"{self.name}{name}", command, self.variables, self.folder)
        stack.callback(process.stop)
        return process
