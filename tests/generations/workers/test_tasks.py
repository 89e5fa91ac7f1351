"""Wake-ups between processes: how they are sent, collected and received. Case ids: docs/failure-modes.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from huey.contrib.djhuey import HUEY

from generations.workers import tasks
from generations.workers.tasks import Sender
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def empty_queue() -> Iterator[None]:
    HUEY.storage.flush_queue()
    yield
    HUEY.storage.flush_queue()


@pytest.mark.usefixtures("empty_queue")
def test_a_wake_up_reaches_a_loop_in_another_process_through_the_queue() -> None:
    tasks.wake("elsewhere")
    until(HUEY.pending_count)

    woken = threading.Event()
    tasks.run_here({"elsewhere": woken})  # As the other process did.
    HUEY.execute(HUEY.dequeue())

    assert woken.is_set()
    assert HUEY.result_count() == 0


@pytest.mark.usefixtures("empty_queue")
def test_a_wake_up_in_the_process_of_the_loop_needs_no_message() -> None:
    woken = threading.Event()
    tasks.run_here({"here": woken})

    tasks.wake("here")

    assert woken.is_set()
    assert HUEY.pending_count() == 0


def test_wake_ups_that_come_while_a_message_is_sent_become_one_message() -> None:
    sending, may_continue, sent = threading.Event(), threading.Event(), []

    def send(names: list[str]) -> None:
        sent.append(names)
        sending.set()
        may_continue.wait(HANG_SECONDS)

    sender = Sender(send)
    sender.add("copier")
    assert sending.wait(HANG_SECONDS)

    for _ in range(100):
        sender.add("copier")
        sender.add("callback_inbox")
    may_continue.set()

    until(lambda: len(sent) > 1)
    assert sent == [["copier"], ["callback_inbox", "copier"]]


def test_wake_ups_are_sent_again_after_the_queue_was_unavailable() -> None:
    sent = []

    def send(names: list[str]) -> None:
        sent.append(names)
        if len(sent) == 1:
            raise ConnectionError

    sender = Sender(send)
    sender.add("copier")
    until(lambda: sent)
    sender.add("submitter")

    until(lambda: len(sent) == 2)
    assert sent[1] == ["submitter"]
