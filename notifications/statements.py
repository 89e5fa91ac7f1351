"""The SQL of notifications: the one query that every event costs.

`tests/notifications/test_outbox.py` runs it for accounts with and without settings.
"""

from __future__ import annotations

from database import prepared


def email_preference(account_id: int) -> str | None:
    """Return about what the account wants e-mails; None if it has no notification settings, and so no endpoints.

    The ORM takes eight hundred calls for it, and an order causes three events. The plan is the unique index of
    subscribers by account.
    """
    row = prepared.fetch_one(
        "SELECT email_preference FROM notifications_subscriber WHERE account_id = %s", [account_id]
    )
    return row[0] if row else None
