"""Sends callbacks to Limn as fal would, with a valid or an invalid signature, and has the inbox process them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.test import Client

from generations.models import Submission
from generations.workers import callback_inbox
from simulator import Simulator


@dataclass(frozen=True, kw_only=True)
class CallbackSender:
    """Sends callbacks when a test wants them, and as often as it wants. Every method returns Limn's HTTP status."""

    fal: Simulator
    client: Client
    is_processed: bool = True
    """Whether each callback is processed at once. Otherwise the test runs the inbox."""

    def send(self, submission: Submission, body: bytes | None = None, **signing: Any) -> int:
        """Sends the callback of this submission, signed by fal.

        Args:
            body: The body; by default, what fal reports about the request.
            signing: Arguments of `Simulator.sign`, such as `timestamp`, `user_id`, `key` or another `request_id`.
        """
        request_id = signing.pop("request_id", None) or self.request_id(submission)
        body = self.fal.callback_body(request_id) if body is None else body
        return self.post(submission.pk, submission.token, body, self.fal.sign(body, request_id=request_id, **signing))

    def post(self, submission_id: Any, token: str, body: bytes, headers: dict[str, str], *, slash: str = "") -> int:
        """Posts a body and headers to the callback URL of this id and token."""
        url = f"/hooks/fal/{submission_id}/{token}{slash}"
        response = self.client.post(url, body, content_type="application/json", headers=headers)
        if self.is_processed:
            callback_inbox.run_once(limit=100)
        return int(response.status_code)

    def signed(self, submission: Submission, **signing: Any) -> tuple[bytes, dict[str, str]]:
        """fal's callback body for this submission, and its headers."""
        request_id = self.request_id(submission)
        body = self.fal.callback_body(request_id)
        return body, self.fal.sign(body, request_id=request_id, **signing)

    def request_id(self, submission: Submission) -> str:
        """The id of the request that fal made of this submission. Limn need not know it yet."""
        return next(
            request.request_id
            for request in self.fal.log.accepted()
            if request.webhook_url and submission.token in request.webhook_url
        )
