"""Others who use the same bucket and the same fal account, and whom Limn must leave alone.

Their files lie where Limn's own could lie, and their jobs ask for the same as an order of Limn. At the end of the run
the final checks compare the files, and look for the jobs in Limn's rows.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from dataclasses import dataclass, field
from uuid import uuid4

import requests

from quality.chaos.counters import Counters
from quality.chaos.environment import Environment
from quality.chaos.fault_kinds import IDENTICAL_JOB
from quality.chaos.load_clients import LoadClient
from quality.chaos.order_bodies import CUSTOMER_SEEDS, STRANGERS_PROMPT
from simulator.records import Post

PAUSE_SECONDS = 0.5
# The scenario in the prompt may drop a stranger's first POST too.
TRIES_MAX = 3


@dataclass
class Strangers:
    """Puts files into the bucket and submits jobs to fal, past Limn and past the proxies."""

    environment: Environment
    clients: list[LoadClient]
    counters: Counters
    rng: random.Random
    stop: threading.Event
    files: dict[str, str] = field(default_factory=dict)
    """The SHA-256 of each file, by its key."""
    uploads: set[str] = field(default_factory=set)
    """The keys of multipart uploads that were begun."""
    request_ids: set[str] = field(default_factory=set)
    """fal's ids of the jobs."""

    def put_files(self) -> None:
        """Put some files into the bucket, and begin a multipart upload."""
        bucket = self.environment.bucket
        # Also below a generation of Limn, as after a restore of an older database elsewhere.
        known = [pk for client in self.clients for pk in list(client.known.finished)]
        generation_id = self.rng.choice(known) if known else uuid4()
        for key in (
            f"backup/{uuid4()}.tar",
            f"generations/{uuid4()}/0-{uuid4()}.png",
            f"generations/{generation_id}/0-{uuid4()}.png",
            f"uploads/{uuid4()}/image.png",
        ):
            content = self.rng.randbytes(200)
            bucket.client.put_object(Bucket=bucket.name, Key=key, Body=content)
            self.files[key] = hashlib.sha256(content).hexdigest()
        key = f"generations/{uuid4()}/0-{uuid4()}.png"
        bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)
        self.uploads.add(key)

    def run(self) -> None:
        """Submit to fal what Limn has just failed to submit, until the end of the load."""
        last = 0
        while not self.stop.wait(PAUSE_SECONDS):
            for post in self.environment.simulator_log.posts(after=last):
                last = post.number
                is_limns = "fal_webhook" in post.query
                if is_limns and post.outcome == "dropped" and STRANGERS_PROMPT.encode() in post.body:
                    self._submit_the_same(post)

    def _submit_the_same(self, post: Post) -> None:
        inputs = json.loads(post.body)
        if inputs.get("seed") not in CUSTOMER_SEEDS:
            # Limn has drawn it, and no stranger knows it.
            inputs.pop("seed", None)
        headers = {"Authorization": f"Key {self.environment.variables['FAL_KEY']}"}
        for _ in range(TRIES_MAX):
            try:
                answer = requests.post(
                    f"{self.environment.simulator_url}/{post.endpoint}", json=inputs, headers=headers, timeout=20
                )
            except requests.ConnectionError:
                continue
            if answer.ok:
                self.request_ids.add(answer.json()["request_id"])
                self.counters.count_fault(IDENTICAL_JOB)
                return
