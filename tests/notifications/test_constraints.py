"""Which rows of the notifications the database refuses by itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from credits.models import Account
from notifications.models import EmailNotification, WebhookDelivery, WebhookEndpoint
from tests.fixtures.api import PlaceOrder
from tests.helpers.constraints import assert_enforced

pytestmark = pytest.mark.django_db


def test_the_database_enforces_each_constraint(order: PlaceOrder) -> None:
    generation = order()
    account: Account = generation.account
    endpoint = WebhookEndpoint.objects.create(account=account, url="u")
    delivery = {"account": account, "generation": generation, "type": "generation.completed", "version": 1}
    delivery |= {"next_attempt_at": timezone.now()}

    def deliver(times: int = 1, **columns: Any) -> Any:
        return lambda: [WebhookDelivery.objects.create(**delivery, **columns) for _ in range(times)]

    def deliver_late(**columns: Any) -> Any:
        return lambda: WebhookDelivery.objects.create(**{**delivery, "endpoint": endpoint, **columns})

    assert_enforced(
        "notifications",
        [
            ("notifications_once_per_endpoint", deliver(2, endpoint=endpoint)),
            ("notifications_once_per_order_url", deliver(2, url="u")),
            ("notifications_webhook_has_one_url", deliver(endpoint=endpoint, url="u")),
            ("notifications_webhook_has_one_url", deliver(endpoint=None, url="")),
            ("notifications_pending_webhook_is_due", deliver_late(next_attempt_at=None)),
            ("notifications_pending_webhook_is_due", deliver_late(state="delivered")),
            ("notifications_email_has_one_subject", lambda: EmailNotification.objects.create(account=account)),
        ],
    )
