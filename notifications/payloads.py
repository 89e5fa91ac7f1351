"""Builds the signed message of a webhook delivery, as Standard Webhooks defines it (standardwebhooks.com).

The notifier calls `build` for each attempt. A message contains ids and URLs only, and the URLs of files expire, so it
reveals little if it is intercepted. It is built when it is sent: a message that arrives a day late has valid URLs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from standardwebhooks import Webhook

from generations.files import signed_urls
from generations.models import Output
from notifications import endpoints
from notifications.models import WebhookDelivery, WebhookType

# Standard Webhooks recommends at most 20 kB.
BODY_BYTES_MAX = 20_000


@dataclass(frozen=True, kw_only=True)
class Message:
    """A POST that is ready to be sent."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def build(delivery: WebhookDelivery, *, now: datetime) -> Message:
    """Return the message of a delivery, signed for the time `now`.

    An order's own URL is signed with the secret of the account, an endpoint with its own.
    """
    contents = _contents(delivery)
    if len(json.dumps(contents)) > BODY_BYTES_MAX:
        # Only the outputs can be that many. The receiver reads them at `urls.self`.
        contents["data"] |= {"outputs": [], "outputs_omitted": True}
    body = json.dumps(contents, separators=(",", ":"))
    holder = delivery.endpoint or endpoints.subscriber_of(delivery.account)
    signatures = [
        # The library takes every datetime to be in UTC.
        Webhook(secret).sign(delivery.webhook_id, now.astimezone(UTC), body)
        for secret in endpoints.signing_secrets(holder, now=now)
    ]
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return Message(url=delivery.address, body=body.encode(), headers=headers)


def _contents(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return the message as JSON: what the delivery has stored, and what is known of its generation now."""
    data: dict[str, Any] = {}
    if (generation := delivery.generation) is not None:
        data = {
            "id": str(generation.pk),
            "batch": str(generation.batch_id) if generation.batch_id else None,
            "model": generation.model,
            "kind": generation.kind,
            "urls": {
                "self": absolute_url(reverse("api:generation", args=[generation.pk])),
                "page": absolute_url(reverse("generation", args=[generation.pk])),
            },
        }
        if delivery.type == WebhookType.COMPLETED:
            data["outputs"] = [_output(output) for output in Output.objects.stored().filter(generation=generation)]
        if delivery.type == WebhookType.FAILED:
            data["error"] = {"code": generation.failure_code, "retryable": generation.retryable}
    # The stored part wins: the generation may have changed since the event.
    return {"type": delivery.type, "timestamp": delivery.happened_at.isoformat(), "data": {**data, **delivery.data}}


def _output(output: Output) -> dict[str, Any]:
    link = signed_urls.for_reading(output)
    return {
        "id": str(output.pk),
        "index": output.index,
        "kind": output.kind,
        "content_type": output.content_type,
        "url": absolute_url(link.url),
        "url_expires_at": link.expires_at.isoformat(),
        "content_url": absolute_url(reverse("api:output-content", args=[output.pk])),
    }


def absolute_url(url: str) -> str:
    """Return a URL for use outside of Limn: SITE_URL is prepended to a path."""
    return url if "://" in url else f"{settings.SITE_URL}{url}"
