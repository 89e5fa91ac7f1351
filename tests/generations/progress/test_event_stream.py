"""Event streams: each change is sent once and in order, whatever happens to the connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import requests
from django.db import OperationalError, connection
from django.test import Client
from rest_framework.test import APIClient

from config.management.ports import free_port
from credits.models import Account
from generations import lifecycle
from generations.api import streams
from generations.http import long_polling
from generations.models import Batch, Generation
from generations.progress.event_stream import EventStream, Subject
from tests.fixtures.batches import OrderBatch, token_of
from tests.fixtures.orders import PlaceOrder
from tests.helpers import lifecycle_facts
from tests.helpers.event_streams import ReceivedEvent, Stream, parse_events, serving
from tests.services.processes import Processes, RunningCommand
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db
Step = Callable[[], Any]


def url_of(subject: Generation | Batch) -> str:
    return f"/api/v1/{'batches' if isinstance(subject, Batch) else 'generations'}/{subject.pk}/stream/"


def steps_of(generation: Generation) -> list[Step]:
    """A life of a generation, step by step. fal queues it a second time, and one change leaves its log line."""
    submission = generation.submissions.get()

    def running(line: str) -> Step:
        return lambda: lifecycle.progressed(generation, running=True, line=line)

    return [
        lambda: lifecycle_facts.reach_waiting(submission),
        lambda: lifecycle_facts.waiting_in_fals_queue(submission),
        running("denoising 40 %"),
        lambda: lifecycle.progressed(generation, running=False, position=2),
        running("denoising 10 %"),
        running("denoising 60 %"),
        running("almost there"),
        lambda: lifecycle.cancel_sent(generation),
        lambda: lifecycle_facts.reach_storing(submission),
        lambda: lifecycle_facts.stored(submission),
    ]


def follow(subject: Subject, steps: list[Step]) -> list[ReceivedEvent]:
    """The events that a client receives who polls after each step."""
    stream = EventStream(subject)
    text = stream.next_events()
    for step in steps:
        step()
        text += stream.next_events()
    return parse_events(text)


def read_stream(client: Any, subject: Generation | Batch, **headers: str) -> str:
    """The text of a stream over HTTP, until the server ends it."""
    response = client.get(url_of(subject), headers=headers)
    return b"".join(response.streaming_content).decode()


@contextmanager
def no_free_slot() -> Iterator[None]:
    """Every slot for a long response is taken."""
    with ExitStack() as slots:
        assert all(slots.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT))
        yield


def count_free_slots() -> int:
    with ExitStack() as slots:
        return sum(slots.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT + 1))


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`timing(STREAM_SECONDS_MAX=0.1)`: other times than in production, and a short interval between polls."""

    def change(**seconds: float) -> None:
        for name, value in {"POLL_SECONDS": 0.01, **seconds}.items():
            monkeypatch.setattr(streams, name, value)

    return change


# --- Events ---


def test_each_change_is_sent_once_and_the_end_comes_last(order: PlaceOrder) -> None:
    generation = order()

    events = follow(Subject.of(generation), steps_of(generation))

    assert len({event.id for event in events}) == len(events)
    versions = [event.data["version"] for event in events if event.name == "progress"]
    assert versions == sorted(set(versions))
    assert [event.name for event in events].index("end") == len(events) - 1
    assert {event.data["job_id"] for event in events} == {str(generation.pk)}
    assert (events[-1].data["status"], events[-1].data["progress"]) == ("completed", 100)


def test_the_progress_never_falls_even_if_fal_starts_again(order: PlaceOrder) -> None:
    generation = order()

    events = follow(Subject.of(generation), steps_of(generation))

    progress = [event.data["progress"] for event in events if event.name != "log"]
    assert progress == sorted(progress)
    assert (progress[0], 42 in progress, progress[-1]) == (0, True, 100)


def test_each_log_line_is_sent_once(order: PlaceOrder) -> None:
    generation = order()

    events = follow(Subject.of(generation), steps_of(generation))

    lines = [event.data["message"] for event in events if event.name == "log"]
    assert lines == ["denoising 40 %", "denoising 10 %", "denoising 60 %", "almost there", "Copying 1 file"]


def test_a_failure_has_its_reason_and_its_charge(order: PlaceOrder) -> None:
    generation = order()
    lifecycle_facts.reach_done(generation.submissions.get())

    *_, end = parse_events(EventStream(Subject.of(generation)).next_events())

    assert end.data["error"] == {
        "code": "provider_error",
        "message": "The provider failed to generate this.",
        "retryable": True,
        "charged": 0,
        "refunded": generation.credits,
    }


def test_the_stream_of_a_batch_has_events_of_each_generation_and_of_the_whole(order_batch: OrderBatch) -> None:
    batch = order_batch(2)
    first, second = batch.generations.order_by("pk")

    events = follow(Subject.of(batch), steps_of(first) + steps_of(second))

    whole = [event.data for event in events if event.name == "progress" and "file_id" not in event.data]
    assert [data["progress"] for data in whole] == sorted(data["progress"] for data in whole)
    assert [whole[0]["message"], whole[-1]["message"]] == ["0 of 2 have ended", "2 of 2 have ended"]
    assert {event.data["file_id"] for event in events if event.name == "log"} == {str(first.pk), str(second.pk)}
    assert (events[-1].name, events[-1].data["completed"], events[-1].data["failed"]) == ("end", 2, 0)


# --- Resuming ---


@pytest.mark.parametrize("batch_size", [0, 2])
def test_a_client_that_reconnects_after_every_event_receives_the_same(
    order: PlaceOrder, order_batch: OrderBatch, batch_size: int
) -> None:
    """Compared with a client that stays connected: nothing is missed, and nothing comes twice."""
    subject = Subject.of(order_batch(batch_size) if batch_size else order())
    steps = [step for generation in subject.generations.order_by("pk") for step in steps_of(generation)]
    connected = EventStream(subject)
    expected = parse_events(connected.next_events())
    received: list[ReceivedEvent] = []
    last_event_id = ""

    for step in [lambda: None, *steps]:
        step()
        expected += parse_events(connected.next_events())
        while len(received) < len(expected):
            received.append(parse_events(EventStream.resume(subject, last_event_id).next_events())[0])
            last_event_id = received[-1].id

    assert received == expected
    assert EventStream.resume(subject, last_event_id).is_over


def test_an_invalid_id_starts_the_stream_from_the_beginning(order: PlaceOrder) -> None:
    subject = Subject.of(order())
    Generation.objects.update(version=3)

    for last_event_id in ("x", "7", "999-0-0", "1-0-0.1-0-0", "1-0-0:end.", "1-0-0:end", "9" * 9000):
        stream = EventStream.resume(subject, last_event_id)

        assert not stream.is_over, last_event_id
        assert [event.name for event in parse_events(stream.next_events())] == ["progress"], last_event_id


def test_a_poll_without_a_change_takes_one_query(order_batch: OrderBatch, django_assert_num_queries) -> None:
    stream = EventStream(Subject.of(order_batch(3)))
    stream.next_events()

    with django_assert_num_queries(1):
        assert stream.next_events() == ""


# --- Over HTTP ---


def test_the_stream_of_an_ended_generation_ends_at_once_and_cannot_be_resumed(
    api: APIClient, order: PlaceOrder
) -> None:
    generation = order()
    follow(Subject.of(generation), steps_of(generation))

    first = api.get(url_of(generation))
    events = parse_events(b"".join(first.streaming_content).decode())  # type: ignore[attr-defined]
    resumed = api.get(url_of(generation), headers={"Last-Event-ID": events[-1].id})

    assert (first["Content-Type"], first["X-Accel-Buffering"]) == ("text/event-stream", "no")
    assert [event.name for event in events] == ["progress", "end"]
    assert (resumed.status_code, resumed.content) == (204, b"")


def test_a_session_may_follow_own_generations_only(
    alice: Account, bob: Account, order: PlaceOrder, client: Client, timing
) -> None:
    timing(STREAM_SECONDS_MAX=0)
    generation = order()
    client.force_login(alice.user)
    text = read_stream(client, generation, Accept="text/event-stream")
    client.force_login(bob.user)

    assert (len(parse_events(text)), text.splitlines()[0]) == (1, "retry: 2000")
    assert client.get(url_of(generation)).status_code == 404
    assert client.head(url_of(generation)).status_code == 404


def test_a_stream_ends_after_its_maximal_duration(api: APIClient, order: PlaceOrder, timing) -> None:
    timing(STREAM_SECONDS_MAX=0.1)

    assert len(parse_events(read_stream(api, order()))) == 1


def test_a_stream_without_changes_has_heartbeats(api: APIClient, order: PlaceOrder, timing) -> None:
    timing(STREAM_SECONDS_MAX=HANG_SECONDS, HEARTBEAT_SECONDS=0.03)
    response = api.get(url_of(order()))
    parts = iter(response.streaming_content)  # type: ignore[attr-defined]

    received = [next(parts) for _ in range(4)]

    assert received[2:] == [b": still here\n\n"] * 2
    response.close()


def test_without_a_free_slot_a_stream_has_the_current_state_and_ends(api: APIClient, order: PlaceOrder) -> None:
    with no_free_slot():
        text = read_stream(api, order())

    assert text.startswith("retry: 2000\n\nid: 1-0-0\nevent: progress\n")
    # It ended before the first heartbeat, so it did not wait.
    assert ": still here" not in text


def test_an_unavailable_database_ends_the_stream_and_frees_its_slot(
    api: APIClient, order: PlaceOrder, caplog: pytest.LogCaptureFixture
) -> None:
    def unavailable(*args: object) -> None:
        raise OperationalError("unavailable")

    parts = iter(api.get(url_of(order())).streaming_content)  # type: ignore[attr-defined]
    next(parts)
    with connection.execute_wrapper(unavailable):
        assert list(parts) == []

    assert "an event stream ended" in caplog.text
    assert count_free_slots() == long_polling.MAX_CONCURRENT


@pytest.mark.django_db(transaction=True)
def test_a_waiting_stream_holds_no_connection_to_the_database(api: APIClient, order: PlaceOrder) -> None:
    response = api.get(url_of(order()))
    parts = iter(response.streaming_content)  # type: ignore[attr-defined]
    next(parts), next(parts)

    assert connection.connection is None
    response.close()
    assert count_free_slots() == long_polling.MAX_CONCURRENT


# --- With a web server of eight threads ---


@pytest.fixture
def open_streams(alice: Account, order: PlaceOrder) -> Iterator[Callable[[str, int], list[Stream]]]:
    """`open_streams(url, 8)`: eight clients of Alice that follow one generation."""
    opened: list[Stream] = []

    def open_several(url: str, count: int) -> list[Stream]:
        path, token = url_of(order()), token_of(alice)
        opened.extend(Stream(url + path, token) for _ in range(count))
        return opened

    yield open_several
    for stream in opened:
        stream.close()


def is_answered(url: str, *, within_seconds: float = HANG_SECONDS) -> bool:
    """Whether the server answers. With a free thread it takes milliseconds; without one, minutes."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"{url}/health/live", timeout=within_seconds).status_code == 200
        except requests.Timeout:
            return False


@pytest.mark.django_db(transaction=True)
def test_other_requests_are_answered_while_every_slot_is_taken(open_streams: Any, timing) -> None:
    timing(STREAM_SECONDS_MAX=HANG_SECONDS)
    with serving(threads=8) as url:
        opened = open_streams(url, 12)

        assert is_answered(url)

        lifecycle_facts.reach_done(Generation.objects.get().submissions.get())
        last = [stream.read_to_the_end()[-1].name for stream in opened]
        with_slot, without_slot = last.count("end"), last.count("progress")
        assert (with_slot, without_slot) == (long_polling.MAX_CONCURRENT, 12 - long_polling.MAX_CONCURRENT)


@pytest.mark.django_db(transaction=True)
def test_without_a_limit_of_slots_other_requests_wait(
    open_streams: Any, timing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    timing(STREAM_SECONDS_MAX=20)
    monkeypatch.setattr(long_polling, "_slots", threading.BoundedSemaphore(100))
    with serving(threads=8) as url:
        open_streams(url, 8)

        assert not is_answered(url, within_seconds=1.5)

        lifecycle_facts.reach_done(Generation.objects.get().submissions.get())


def serve(limn: Processes, port: int) -> RunningCommand:
    running = limn("serve", "--port", str(port), "--workers", "1")
    running.wait_for_response(f"http://127.0.0.1:{port}/health/live")
    return running


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_stream_resumes_where_it_was_after_its_web_server_was_killed(
    limn: Processes, alice: Account, order: PlaceOrder
) -> None:
    generation, token, port = order(), token_of(alice), free_port()
    steps, killed_url = steps_of(generation), f"http://127.0.0.1:{port}"
    server = serve(limn, port)
    disconnected = [Stream(killed_url + url_of(generation), token) for _ in range(long_polling.MAX_CONCURRENT)]
    for stream in disconnected:
        stream.read_until(1)
        stream.close()
    steps[0]()

    # The server notices that these clients are gone when it sends something. Then there are free slots again.
    received = until(lambda: _receive(killed_url + url_of(generation), token, steps[1:3]))
    server.kill()
    for step in steps[3:]:
        step()
    with serving(threads=2) as url:
        received += Stream(url + url_of(generation), token, received[-1].id).read_to_the_end()

    versions = [event.data["version"] for event in received if "version" in event.data]
    assert versions == sorted(set(versions))
    assert received[-1].name == "end"


def _receive(url: str, token: str, steps: list[Step]) -> list[ReceivedEvent]:
    """The first events of a stream during which these steps happen. Empty if it found no free slot."""
    stream = Stream(url, token)
    stream.read_until(1)
    for step in steps:
        step()
    try:
        return stream.read_until(3)
    except StopIteration:
        return []
    finally:
        stream.close()
