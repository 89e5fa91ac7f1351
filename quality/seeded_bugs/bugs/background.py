"""Bugs of the messages that wake the loops of `manage.py work`."""

from __future__ import annotations

from quality.seeded_bugs.bug import Bug
from quality.seeded_bugs.changes import ReplaceCode

BUGS = (
    Bug(
        number="21",
        sentence="A queue message is read without a valid signature",
        changes=(
            ReplaceCode(
                module="config.queue",
                old="SignedSerializer(secret=secret, salt='limn.queue')",
                new="Serializer()",
                imports="from huey.serializer import Serializer",
            ),
        ),
        caught_by=("test_a_strangers_pickle_is_refused_and_not_read",),
    ),
    Bug(
        number="22",
        sentence="A wake-up that comes while the worker looks at its table is lost",
        changes=(
            ReplaceCode(
                module="generations.workers.loops",
                old="self._pause_after(self._call())",
                new="(handled := self._call(), self.woken.clear(), self._pause_after(handled))",
            ),
        ),
        caught_by=("test_a_wake_up_during_a_call_causes_another_call",),
    ),
)
