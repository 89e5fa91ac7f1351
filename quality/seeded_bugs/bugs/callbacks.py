"""Callbacks that are believed, lost or acknowledged too early."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug, Replaced

CALLBACKS = "tests/generations/callbacks/test_callbacks.py"
PINNED = f"{CALLBACKS}::test_the_first_proven_callback_pins_the_fal_account"
OTHER_ACCOUNT = f"{CALLBACKS}::test_b3_a_true_signature_for_another_fal_account_is_refused"
NOT_IN_HEADERS = Replaced(
    file="generations/fal/webhooks.py",
    old="if user_id is not None and not claim.is_for_account(user_id):",
    new="if False:",
)
NOT_IN_VIEW = Replaced(
    file="generations/callbacks/views.py",
    old="if user_id is not None and not claim.is_for_account(user_id):",
    new="if False:",
)

BUGS = (
    Bug(
        number="13",
        sentence="A callback is answered 200 before it is committed",
        changes=(
            Replaced(
                file="generations/callbacks/views.py",
                old="    _receive(submission, callback, body)\n    return",
                new="    threading.Thread(target=_receive, args=(submission, callback, body)).start()\n    return",
            ),
        ),
        caught_by=(
            "tests/generations/workers/test_callback_inbox.py::test_b36_a_callback_that_cannot_be_kept_is_not_acknowledged",
        ),
    ),
    Bug(
        number="14a",
        sentence="An unknown token is answered 200",
        changes=(
            Replaced(
                file="generations/callbacks/views.py",
                old='Refusal(404, "no attempt of ours has this address")',
                new='Refusal(200, "no attempt of ours has this address")',
            ),
        ),
        caught_by=(f"{CALLBACKS}::test_b12_a_callback_for_nothing_of_ours_is_kept_for_staff",),
    ),
    Bug(
        number="14b",
        sentence="A callback for nothing of ours is dropped",
        changes=(
            Replaced(
                file="generations/callbacks/views.py",
                old="Staff will see it.\n            _keep(None, callback, body)",
                new="Staff will not see it.\n            pass",
            ),
        ),
        caught_by=(f"{CALLBACKS}::test_b12_a_callback_for_nothing_of_ours_is_kept_for_staff",),
    ),
    Bug(
        number="15a",
        sentence="The account in the headers is not compared",
        changes=(NOT_IN_HEADERS,),
        caught_by=("tests/generations/fal/test_webhooks.py::test_a_true_signature_for_another_account_is_refused",),
    ),
    Bug(
        number="15b",
        sentence="The account that was pinned is not compared",
        changes=(NOT_IN_VIEW,),
        caught_by=(PINNED,),
    ),
    Bug(
        number="15",
        sentence="user_id is not compared",
        changes=(NOT_IN_HEADERS, NOT_IN_VIEW),
        caught_by=(OTHER_ACCOUNT, PINNED),
    ),
    Bug(
        number="20a",
        sentence="Without keys to verify with, a callback is believed",
        changes=(
            Replaced(
                file="generations/callbacks/views.py",
                old="        raise Refusal(503, str(error)) from error\n    except StaleTimestamp",
                new="        return read_headers(request.headers, user_id=None)\n    except StaleTimestamp",
            ),
        ),
        caught_by=(f"{CALLBACKS}::test_b30_without_any_key_fal_is_asked_to_come_again",),
    ),
    Bug(
        number="20b",
        sentence="Keys are trusted past their day",
        changes=(
            Replaced(
                file="generations/fal/keys.py",
                old="if self._age_seconds() >= KEY_LIFETIME_SECONDS:\n            raise",
                new="if not self._keys:\n            raise",
            ),
        ),
        caught_by=(f"{CALLBACKS}::test_b32_keys_are_not_trusted_past_a_day",),
    ),
)
