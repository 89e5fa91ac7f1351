"""What a webhook says: its body, its id and its signatures, by Standard Webhooks (standardwebhooks.com).

Ids and addresses only, and those of files lapse: whoever reads along learns little, and for a short time. The body is
made when it is sent, so that a message that arrives a day late brings addresses that still open something.
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
from generations.models import Generation, Output
from notifications import endpoints
from notifications.models import WebhookDelivery, WebhookType

BODY_BYTES_MAX = 20_000


@dataclass(frozen=True, kw_only=True)
class Message:
    """A POST, ready to be sent."""

    url: str
    body: bytes
    headers: Mapping[str, str]


def write(delivery: WebhookDelivery, *, now: datetime) -> Message:
    body = json.dumps(_fitting(delivery), separators=(",", ":"))
    signatures = [_sign(secret, delivery, now, body) for secret in _secrets(delivery, now)]
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery.webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return Message(url=delivery.address, body=body.encode(), headers=headers)


def _secrets(delivery: WebhookDelivery, now: datetime) -> list[str]:
    signing = delivery.endpoint or endpoints.of(delivery.account)
    return endpoints.secrets_of(signing, now=now)


def _sign(secret: str, delivery: WebhookDelivery, now: datetime, body: str) -> str:
    # The library takes any time for UTC.
    return Webhook(secret).sign(delivery.webhook_id, now.astimezone(UTC), body)


def _fitting(delivery: WebhookDelivery) -> dict[str, Any]:
    """The whole message; where that is too much, without its files, which are read at `urls.self`."""
    whole = content(delivery)
    if len(json.dumps(whole)) <= BODY_BYTES_MAX:
        return whole
    return {**whole, "data": {**whole["data"], "outputs": [], "outputs_omitted": True}}


def content(delivery: WebhookDelivery) -> dict[str, Any]:
    about = _about(delivery.generation, delivery) if delivery.generation else {}
    return {"type": delivery.type, "timestamp": delivery.happened_at.isoformat(), "data": {**about, **delivery.data}}


def _about(generation: Generation, delivery: WebhookDelivery) -> dict[str, Any]:
    said: dict[str, Any] = {
        "id": str(generation.pk),
        "batch": str(generation.batch_id) if generation.batch_id else None,
        "model": generation.model,
        "kind": generation.kind,
        "urls": {
            "self": absolute(reverse("api:generation", args=[generation.pk])),
            "page": absolute(reverse("generation", args=[generation.pk])),
        },
    }
    if delivery.type == WebhookType.COMPLETED:
        said["outputs"] = [_file(output) for output in Output.objects.stored().filter(generation=generation)]
    if delivery.type == WebhookType.FAILED:
        said["error"] = {"code": generation.failure_code, "retryable": generation.retryable}
    return said


def _file(output: Output) -> dict[str, Any]:
    link = signed_urls.to(output)
    return {
        "id": str(output.pk),
        "index": output.index,
        "kind": output.kind,
        "content_type": output.content_type,
        "url": absolute(link.url),
        "url_expires_at": link.expires_at.isoformat(),
        "content_url": absolute(reverse("api:output-content", args=[output.pk])),
    }


def absolute(address: str) -> str:
    return address if "://" in address else f"{settings.SITE_URL}{address}"
