"""The SQL of the callback view: one statement checks a callback against its submission and stores it.

fal waits for the answer, and a burst of callbacks must not wait for anything but this. `tests/generations/callbacks/
test_statements.py` compares what it stores with what the ORM would store.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection

from database import clock, prepared
from generations.models import Submission

# Three lookups by unique indexes: the submission by its primary key, other submissions by the request id, and the
# callbacks of the submission by its body. An account is compared only if it was pinned by an earlier callback.
_STORE = """
    INSERT INTO generations_providercallback
        (submission_id, request_id, body, body_sha256, outcome, repeats, received_at)
    SELECT submission.id, CAST(%(request_id)s AS text), %(body)s, %(body_sha256)s, 'received', 0, %(now)s
    FROM generations_submission submission
    WHERE submission.id = %(submission)s AND submission.token = %(token)s AND submission.state <> 'planned'
        AND NOT EXISTS (
            SELECT 1 FROM generations_submission other
            WHERE other.request_id = %(request_id)s AND other.generation_id <> submission.generation_id
        )
        AND (%(account_is_known)s OR EXISTS (SELECT 1 FROM generations_falaccount WHERE user_id = %(user_id)s))
    ON CONFLICT (submission_id, body_sha256) WHERE submission_id IS NOT NULL
        DO UPDATE SET repeats = generations_providercallback.repeats + 1
    RETURNING outcome"""


def store_callback(
    *,
    submission_id: UUID,
    token: str,
    request_id: str,
    user_id: str,
    account_is_known: bool,
    body: bytes,
    body_sha256: str,
) -> str | None:
    """Store a callback whose signature was verified, once, and count repetitions.

    Args:
        account_is_known: The signature was verified for the account of the setting FAL_USER_ID. Otherwise `user_id`
            must be the account that was pinned.

    Returns:
        Its outcome so far; None if it belongs to no submission that was sent, or to another account or submission.
    """
    parameters: dict[str, Any] = {
        "submission": Submission._meta.pk.get_db_prep_value(submission_id, connection),
        "token": token,
        "request_id": request_id,
        "user_id": user_id,
        "account_is_known": account_is_known,
        "body": body,
        "body_sha256": body_sha256,
        "now": connection.ops.adapt_datetimefield_value(clock.now()),
    }
    row = prepared.fetch_one(_STORE, parameters)
    return row[0] if row else None
