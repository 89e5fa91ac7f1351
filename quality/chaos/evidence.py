"""What the final checks compare: Limn's rows, the simulator's log, the bucket, and what others did beside Limn."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from generations.models import Submission
from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.load_clients import LoadClient
from quality.chaos.losses import Losses
from quality.chaos.strangers import Strangers
from simulator.log import Log
from simulator.records import Request

CALLBACK_PATH = re.compile(r"/hooks/fal/(?P<submission>[0-9a-f-]{36})/")


@dataclass
class Evidence:
    """Everything is read once, after the run."""

    environment: Environment
    clients: list[LoadClient]
    """Those of the installation under test."""
    neighbour_clients: list[LoadClient]
    """Those of the second deployment."""
    strangers: Strangers
    losses: Losses
    counters: Counters

    @property
    def log(self) -> Log:
        return self.environment.simulator_log

    @cached_property
    def submissions(self) -> dict[str, Submission]:
        return {str(row.pk): row for row in Submission.objects.select_related("generation").iterator()}

    @cached_property
    def accepted(self) -> list[Request]:
        """The jobs that fal accepted from the installation under test, and would bill."""
        return [request for request in self.log.accepted() if self.is_ours(request.webhook_url)]

    def is_ours(self, webhook_url: str | None) -> bool:
        """Return whether a job is one of the installation under test: its callback goes there."""
        return (webhook_url or "").startswith(f"{self.environment.limn.site_url}/")


def submission_id(url: str | None) -> str:
    """Return the submission that a callback URL names."""
    found = CALLBACK_PATH.search(urlsplit(url or "").path)
    return found["submission"] if found else ""
