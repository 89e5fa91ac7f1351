"""Bugs that accept forged callbacks, lose callbacks, or acknowledge them too early."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

VIEW = "generations.callbacks.views"

PINS_ACCOUNT = "test_without_fal_user_id_the_first_genuine_callback_pins_the_account"
REFUSES_OTHER_ACCOUNT = "test_b3_a_valid_signature_for_another_fal_account_is_rejected"
STORES_FOR_STAFF = "test_b12_a_callback_for_an_unknown_submission_is_stored_for_staff"
IGNORE_ACCOUNT_IN_HEADERS = ReplaceCode(
    module="generations.fal.webhooks", old="user_id is not None and not signed.is_for_account(user_id)", new="False"
)
IGNORE_PINNED_ACCOUNT = ReplaceCode(
    module=VIEW, old="user_id is not None and not signed.is_for_account(user_id)", new="False"
)

BUGS = (
    Bug(
        number="13",
        sentence="A callback is answered 200 before it is committed",
        changes=(
            ReplaceCode(
                module=VIEW,
                old="outcome = _store(submission_id, token, callback.request_id, signed, body)",
                new="arguments = (submission_id, token, callback.request_id, signed, body)\n"
                "outcome = threading.Thread(target=_store, args=arguments).start()",
                imports="import threading",
            ),
        ),
        caught_by=("test_b36_a_callback_that_cannot_be_stored_is_not_acknowledged",),
    ),
    Bug(
        number="14a",
        sentence="A callback that belongs to no submission is answered 200",
        changes=(
            ReplaceCode(
                module=VIEW,
                old="CallbackRejected(404, ...)",
                new='CallbackRejected(200, "not ours")',
                matches=2,
            ),
        ),
        caught_by=(STORES_FOR_STAFF,),
    ),
    Bug(
        number="14b",
        sentence="A callback that belongs to no submission is not stored",
        changes=(
            ReplaceCode(
                module=VIEW,
                old="if user_id is not None: ...",
                new="pass",
            ),
        ),
        caught_by=(STORES_FOR_STAFF,),
    ),
    Bug(
        number="15a",
        sentence="The account in the callback's headers is not compared",
        changes=(IGNORE_ACCOUNT_IN_HEADERS,),
        caught_by=("test_a_true_signature_for_another_account_is_refused",),
    ),
    Bug(
        number="15b",
        sentence="The pinned account is not compared",
        changes=(IGNORE_PINNED_ACCOUNT,),
        caught_by=(PINS_ACCOUNT,),
    ),
    Bug(
        number="15",
        sentence="No account is compared",
        changes=(IGNORE_ACCOUNT_IN_HEADERS, IGNORE_PINNED_ACCOUNT),
        caught_by=(REFUSES_OTHER_ACCOUNT, PINS_ACCOUNT),
    ),
    Bug(
        number="20a",
        sentence="A callback is accepted without keys to verify it",
        changes=(
            ReplaceCode(
                module=VIEW,
                old="raise CallbackRejected(503, ...) from error",
                new="return read_headers(request.headers, user_id=None)",
                imports="from generations.fal.webhooks import read_headers",
            ),
        ),
        caught_by=("test_b30_without_any_key_the_callback_is_answered_with_503",),
    ),
    Bug(
        number="20b",
        sentence="fal's keys are trusted for ever",
        changes=(
            ReplaceCode(
                module="generations.fal.keys",
                old="if self._age_seconds() >= KEY_LIFETIME_SECONDS: raise ...",
                new="if not self._keys:\n    raise KeysUnavailable",
            ),
        ),
        caught_by=("test_b32_keys_are_not_used_after_a_day",),
    ),
)
