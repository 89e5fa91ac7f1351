"""Progress by server-sent events: each change once, in order, whatever happens to the connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from tests.fixtures.batches import BatchOrdering, token_of
from tests.fixtures.orders import Ordering
from tests.helpers import lifecycle_facts
from tests.helpers.event_streams import Heard, Stream, heard, serving
from tests.services.processes import Processes, Running
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db
Step = Callable[[], Any]


def address(subject: Generation | Batch) -> str:
    return f"/api/v1/{'batches' if isinstance(subject, Batch) else 'generations'}/{subject.pk}/stream/"


def life_of(generation: Generation) -> list[Step]:
    """What befalls it, step by step: fal puts it back once, and once something changes while its line stays."""
    attempt = generation.submissions.get()

    def says(line: str) -> Step:
        return lambda: lifecycle.progressed(generation, running=True, line=line)

    return [
        lambda: lifecycle_facts.waiting(attempt),
        lambda: lifecycle_facts.in_queue(attempt),
        says("denoising 40 %"),
        lambda: lifecycle.progressed(generation, running=False, position=2),
        says("denoising 10 %"),
        says("denoising 60 %"),
        says("almost there"),
        lambda: lifecycle.cancel_sent(generation),
        lambda: lifecycle_facts.storing(attempt),
        lambda: lifecycle_facts.stored(attempt),
    ]


def listen(job: Subject, steps: list[Step]) -> list[Heard]:
    """All that one hears who stays."""
    listener = EventStream(job)
    text = listener.next_events()
    for step in steps:
        step()
        text += listener.next_events()
    return heard(text)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`quick(STREAM_SECONDS_MAX=0.1)`: with less patience than in production."""

    def be(**seconds: float) -> None:
        for name, value in {"POLL_SECONDS": 0.01, **seconds}.items():
            monkeypatch.setattr(streams, name, value)

    return be


# --- What is told ---


def test_each_change_is_told_once_and_the_end_comes_last(order: Ordering) -> None:
    generation = order()

    events = listen(Subject.of(generation), life_of(generation))

    assert len({event.id for event in events}) == len(events)
    versions = [event.data["version"] for event in events if event.name == "progress"]
    assert versions == sorted(set(versions))
    assert [event.name for event in events].index("end") == len(events) - 1
    assert {event.data["job_id"] for event in events} == {str(generation.pk)}
    assert (events[-1].data["status"], events[-1].data["progress"]) == ("completed", 100)


def test_a_bar_never_goes_back_though_fal_begins_anew(order: Ordering) -> None:
    generation = order()

    told = [
        event.data["progress"] for event in listen(Subject.of(generation), life_of(generation)) if event.name != "log"
    ]

    assert told == sorted(told)
    assert (told[0], 42 in told, told[-1]) == (0, True, 100)


def test_lines_of_the_model_are_told_once_each(order: Ordering) -> None:
    generation = order()

    lines = [
        event.data["message"] for event in listen(Subject.of(generation), life_of(generation)) if event.name == "log"
    ]

    assert lines == ["denoising 40 %", "denoising 10 %", "denoising 60 %", "almost there", "Copying 1 file"]


def test_a_failure_says_why_and_what_it_cost(order: Ordering) -> None:
    generation = order()
    lifecycle_facts.ended(generation.submissions.get())

    *_, end = heard(EventStream(Subject.of(generation)).next_events())

    assert end.data["error"] == {
        "code": "provider_error",
        "message": "The provider failed to generate this.",
        "retryable": True,
        "charged": 0,
        "refunded": generation.credits,
    }


def test_of_a_batch_each_file_is_told_and_the_whole(order_batch: BatchOrdering) -> None:
    batch = order_batch(2)
    first, second = batch.generations.order_by("pk")

    events = listen(Subject.of(batch), life_of(first) + life_of(second))

    whole = [event.data for event in events if event.name == "progress" and "file_id" not in event.data]
    assert [data["progress"] for data in whole] == sorted(data["progress"] for data in whole)
    assert [whole[0]["message"], whole[-1]["message"]] == ["0 of 2 have ended", "2 of 2 have ended"]
    assert {event.data["file_id"] for event in events if event.name == "log"} == {str(first.pk), str(second.pk)}
    assert (events[-1].name, events[-1].data["completed"], events[-1].data["failed"]) == ("end", 2, 0)


# --- Coming back ---


@pytest.mark.parametrize("files", [0, 2])
def test_cut_off_after_every_event_one_hears_the_same(order: Ordering, order_batch: BatchOrdering, files: int) -> None:
    """The one who stays and the one whose line is cut all the time: nothing is missed, and nothing comes twice."""
    subject = order_batch(files) if files else order()
    job = Subject.of(subject)
    steps = [step for generation in job.generations.order_by("pk") for step in life_of(generation)]
    stays, last = EventStream(job), ""
    by_bits: list[Heard] = []
    whole = heard(stays.next_events())
    for step in [lambda: None, *steps]:
        step()
        whole += heard(stays.next_events())
        while len(by_bits) < len(whole):
            by_bits.append(heard(EventStream.resume(job, last).next_events())[0])
            last = by_bits[-1].id

    assert by_bits == whole
    assert EventStream.resume(job, last).is_over


@pytest.mark.parametrize("nonsense", ["x", "7", "999-0-0", "1-0-0.1-0-0", "1-0-0:end.", "1-0-0:end", "9" * 9000])
def test_an_id_that_is_not_ours_is_as_if_unsaid(order: Ordering, nonsense: str) -> None:
    job = Subject.of(order())
    Generation.objects.update(version=3)

    listener = EventStream.resume(job, nonsense)

    assert not listener.is_over
    assert [event.name for event in heard(listener.next_events())] == ["progress"]


def test_while_nothing_happens_one_question_is_asked(order_batch: BatchOrdering, django_assert_num_queries) -> None:
    listener = EventStream(Subject.of(order_batch(3)))
    listener.next_events()

    with django_assert_num_queries(1):
        assert listener.next_events() == ""


# --- Over HTTP ---


def test_what_has_ended_says_so_at_once_and_never_again(api: APIClient, order: Ordering) -> None:
    generation = order()
    listen(Subject.of(generation), life_of(generation))

    first = api.get(address(generation))
    events = heard(b"".join(first.streaming_content).decode())  # type: ignore[attr-defined]
    again = api.get(address(generation), headers={"Last-Event-ID": events[-1].id})

    assert (first["Content-Type"], first["X-Accel-Buffering"]) == ("text/event-stream", "no")
    assert [event.name for event in events] == ["progress", "end"]
    assert (again.status_code, again.content) == (204, b"")


def test_a_browser_with_a_session_may_listen_and_a_stranger_may_not(
    alice: Account, bob: Account, order: Ordering, client: Client, quick
) -> None:
    quick(STREAM_SECONDS_MAX=0)
    generation = order()
    client.force_login(alice.user)
    hers = client.get(address(generation), headers={"Accept": "text/event-stream"})
    text = b"".join(hers.streaming_content).decode()  # type: ignore[attr-defined]
    client.force_login(bob.user)

    assert (hers.status_code, len(heard(text)), text.splitlines()[0]) == (200, 1, "retry: 2000")
    assert client.get(address(generation)).status_code == 404
    assert client.head(address(generation)).status_code == 404


def test_a_stream_ends_by_itself_and_says_that_it_lives_meanwhile(api: APIClient, order: Ordering, quick) -> None:
    quick(STREAM_SECONDS_MAX=1, HEARTBEAT_SECONDS=0.03)

    text = b"".join(api.get(address(order())).streaming_content).decode()  # type: ignore[attr-defined]

    assert text.count(": still here\n\n") >= 2
    assert len(heard(text)) == 1


def test_whoever_finds_no_seat_hears_what_is_known_and_comes_again(api: APIClient, order: Ordering) -> None:
    with ExitStack() as others:
        assert all(others.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT))
        text = b"".join(api.get(address(order())).streaming_content).decode()  # type: ignore[attr-defined]

    assert text.startswith("retry: 2000\n\nid: 1-0-0\nevent: progress\n")
    # It ended before the first heartbeat: nothing was waited for.
    assert ": still here" not in text


def test_a_database_that_goes_away_ends_the_stream_and_not_the_seat(
    api: APIClient, order: Ordering, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*args: object) -> None:
        raise OperationalError("away")

    parts = iter(api.get(address(order())).streaming_content)  # type: ignore[attr-defined]
    next(parts)
    with connection.execute_wrapper(away):
        assert list(parts) == []

    assert "an event stream ended" in caplog.text
    assert seats_free() == long_polling.MAX_CONCURRENT


@pytest.mark.django_db(transaction=True)
def test_while_it_waits_it_holds_no_connection(api: APIClient, order: Ordering) -> None:
    response = api.get(address(order()))
    parts = iter(response.streaming_content)  # type: ignore[attr-defined]
    next(parts), next(parts)

    assert connection.connection is None
    response.close()
    assert seats_free() == long_polling.MAX_CONCURRENT


def seats_free() -> int:
    with ExitStack() as taken:
        return sum(taken.enter_context(long_polling.slot()) for _ in range(long_polling.MAX_CONCURRENT + 1))


# --- With a web server that has eight threads ---


@pytest.fixture
def listeners(alice: Account, order: Ordering) -> Iterator[Callable[[str, int], list[Stream]]]:
    """`listeners(url, 8)`: so many of Alice's browsers that follow one generation."""
    opened: list[Stream] = []

    def several(url: str, count: int) -> list[Stream]:
        path, token = address(order()), token_of(alice)
        opened.extend(Stream(url + path, token) for _ in range(count))
        return opened

    yield several
    for stream in opened:
        stream.close()


def is_answered(url: str, *, within_seconds: float = HANG_SECONDS) -> bool:
    """An idle server answers in milliseconds; who waits for a stream to end waits for minutes."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"{url}/health/live", timeout=within_seconds).status_code == 200
        except requests.Timeout:
            return False


@pytest.mark.django_db(transaction=True)
def test_with_all_seats_taken_others_are_answered_at_once(listeners: Any, quick) -> None:
    quick(STREAM_SECONDS_MAX=HANG_SECONDS)
    with serving(threads=8) as url:
        opened = listeners(url, 12)

        assert is_answered(url)

        lifecycle_facts.ended(Generation.objects.get().submissions.get())
        told = [stream.to_the_end()[-1].name for stream in opened]
        assert (told.count("end"), told.count("progress")) == (
            long_polling.MAX_CONCURRENT,
            12 - long_polling.MAX_CONCURRENT,
        )


@pytest.mark.django_db(transaction=True)
def test_without_the_bound_they_would_wait(listeners: Any, quick, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    quick(STREAM_SECONDS_MAX=20)
    monkeypatch.setattr(long_polling, "_slots", threading.BoundedSemaphore(100))
    with serving(threads=8) as url:
        listeners(url, 8)

        assert not is_answered(url, within_seconds=1.5)

        lifecycle_facts.ended(Generation.objects.get().submissions.get())


def serve(limn: Processes, port: int) -> Running:
    running = limn("serve", "--port", str(port), "--workers", "1")
    running.until_it_answers(f"http://127.0.0.1:{port}/health/live")
    return running


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_stream_goes_on_where_it_was_when_its_web_server_was_killed(
    limn: Processes, alice: Account, order: Ordering
) -> None:
    generation, token, port = order(), token_of(alice), free_port()
    steps, before = life_of(generation), f"http://127.0.0.1:{port}"
    server = serve(limn, port)
    gone = [Stream(before + address(generation), token) for _ in range(long_polling.MAX_CONCURRENT)]
    for stream in gone:
        stream.until(1)
        stream.close()
    steps[0]()

    # Those who went away are noticed when they are written to; then there is a seat again.
    first = until(lambda: _seated(before + address(generation), token, steps[1:3]))
    server.kill_hard()
    for step in steps[3:]:
        step()
    with serving(threads=2) as after:
        rest = Stream(after + address(generation), token, first[-1].id).to_the_end()

    versions = [event.data["version"] for event in first + rest if "version" in event.data]
    assert versions == sorted(set(versions))
    assert rest[-1].name == "end"


def _seated(url: str, token: str, steps: list[Step]) -> list[Heard]:
    """What a stream hears of these steps; nothing when it found no seat."""
    stream = Stream(url, token)
    stream.until(1)
    for step in steps:
        step()
    try:
        return stream.until(3)
    except StopIteration:
        return []
    finally:
        stream.close()
