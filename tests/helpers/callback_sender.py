"""Callbacks of fal, posted to Limn by hand: truly signed, or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.test import Client

from generations.models import Submission
from simulator import Simulator


@dataclass(frozen=True, kw_only=True)
class Courier:
    """Delivers what fal would send, when and as often as a test wants."""

    fal: Simulator
    client: Client

    def deliver(self, submission: Submission, body: bytes | None = None, **signing: Any) -> int:
        """fal's callback for this attempt; what Limn answers."""
        request_id = signing.pop("request_id", None) or self.request_id(submission)
        body = self.fal.callback_body(request_id) if body is None else body
        headers = self.fal.sign(body, request_id=request_id, **signing)
        return self.post(submission.pk, submission.token, body, headers)

    def post(self, submission_id: Any, token: str, body: bytes, headers: dict[str, str], *, slash: str = "") -> int:
        address = f"/hooks/fal/{submission_id}/{token}{slash}"
        response = self.client.post(address, body, content_type="application/json", headers=headers)
        return int(response.status_code)

    def request_id(self, submission: Submission) -> str:
        """fal's id for the attempt, which Limn need not know yet."""
        return next(
            request.request_id
            for request in self.fal.log.accepted()
            if request.webhook_url and submission.token in request.webhook_url
        )
