"""The copier: outputs are copied completely or not at all. Case ids: docs/failure-modes.md, group C."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.lifecycle import StoredFile
from generations.models import FailureCode, Generation, Output, Status
from generations.workers import copier
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import film
from tests.helpers.background_work import Work
from tests.helpers.outages import let_patience_end
from tests.helpers.scripted_servers import Connection, respond, serving
from tests.services.seaweed import Bucket
from tests.services.waiting import HANG_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)

PERMANENT = ["cdn:404", "cdn:403", "cdn:410", "cdn:html", "cdn:cut_nolen"]
FINAL_AT_ONCE = ["cdn:endless", "cdn:huge", "cdn:redirect", "outputs:evil_output_url"]
TEMPORARY = ["cdn:404x2", "cdn:429x2", "cdn:500x2", "cdn:503x2", "cdn:truncatedx2", "cdn:cut_nolenx2", "cdn:htmlx2"]


@pytest.fixture(autouse=True)
def lower_size_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuses an endless file sooner. Every image of the simulator is far smaller."""
    monkeypatch.setattr("generations.workers.copier.FILE_BYTES_MAX", 20 * 1024 * 1024)


# --- Faults of the CDN ---


@pytest.mark.parametrize("fault", TEMPORARY)
def test_c3_c4_a_file_is_fetched_again_until_it_is_complete(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = work.until_done(order())

    assert generation.status == Status.COMPLETED
    assert generation.outputs.get().attempts == 3


@pytest.mark.parametrize("fault", PERMANENT + FINAL_AT_ONCE)
def test_c1_c7_c9_c11_c14_c15_a_file_that_never_arrives_complete_costs_nothing(
    fault: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = work.until_done(order())

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)
    assert generation.outputs.get().attempts == (1 if fault in FINAL_AT_ONCE else 6)


@pytest.mark.parametrize("fault", ["cdn:endless", "cdn:huge"])
def test_c7_c9_the_customer_is_told_that_a_file_is_larger_than_limn_stores(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    message = work.until_done(order()).failure_message

    assert message == "The result is larger than the 2 GiB that this service stores."


def test_c14_c15_no_request_is_sent_to_an_unknown_host(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("outputs:evil_output_url")
    fal.script("cdn:redirect")

    work.until_done(order()), work.until_done(order())

    assert fal.log.visits() == []


def test_c10_a_compressed_response_is_refused(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:bombx1")

    assert work.until_done(order()).outputs.get().attempts == 2


def test_the_media_type_is_recognised_by_the_bytes(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:wrong_type")

    output = work.until_done(order(prompt="a cat", output_format="png")).outputs.get()

    assert (output.content_type, output.key[-4:]) == ("image/png", ".png")


# --- Answers ---


def test_b16_an_answer_without_a_file_fails_and_costs_nothing(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script("outputs:zero")

    assert work.until_done(order()).failure_code == FailureCode.PROVIDER_ERROR
    alice.refresh_from_db()
    assert (alice.balance, alice.held) == (1000, 0)


def test_b17_a_data_uri_is_decoded_and_stored(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("outputs:data_uri")

    output = work.until_done(order()).outputs.get()

    assert output.kind == "image"
    assert output.size_bytes is not None
    assert output.size_bytes > 1000


@pytest.mark.parametrize("url", ["data:image/png,plain", "data:image/png;base64,%%%", "data:image/png;base64,AAAA"])
def test_b17_a_data_uri_without_an_image_is_refused(url: str, fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("result:410")
    generation = order()
    work.submit()
    lifecycle.answered(generation.submissions.get(), {"images": [{"url": url}]})

    assert work.until_done(generation).failure_code == FailureCode.COPY_FAILED


@pytest.mark.parametrize(
    "fault, files", [("cdn:404@1", 3), ("outputs:fewer", 3), ("outputs:more", 4), ("outputs:nested", 4)]
)
def test_c27_some_of_four_files_cost_a_part_of_the_price(
    fault: str, files: int, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    price = 4 * 3
    fal.script(fault)

    generation = work.until_done(order(prompt="cats", num_images=4))

    alice.refresh_from_db()
    captured = price * files // 4
    assert (generation.status, generation.captured, generation.released) == ("completed", captured, price - captured)
    assert (alice.balance, alice.held) == (1000 - captured, 0)


# --- Storage ---


def test_c20_an_unreachable_storage_is_tried_for_as_long_as_fal_keeps_the_file(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.submit()
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}
    work.until(lambda: Output.objects.filter(attempts__gte=2).exists())
    Output.objects.update(give_up_at=timezone.now() - timedelta(seconds=1))
    work.copy()
    assert Output.objects.get().state == Output.State.PENDING
    let_patience_end(copier.PATIENCE)

    assert work.until_done(generation).failure_code == FailureCode.INTERNAL_ERROR


def test_c20_staff_are_told_once_of_a_file_that_cannot_be_stored_for_long(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.submit()
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}
    work.until(lambda: Output.objects.filter(attempts__gte=1, lease=None).exists())
    let_patience_end(copier.PATIENCE)

    work.copy()
    work.copy()

    assert (generation.events.filter(fact="stuck").count(), Output.objects.get().misses) == (1, 0)


def test_c22_a_copy_succeeds_after_a_wrong_storage_key_is_corrected(
    settings, bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    right = settings.STORAGES
    wrong = Bucket(name=bucket.name, endpoint_url=bucket.endpoint_url, secret_key="wrong")
    settings.STORAGES = {**right, "default": wrong.storage}
    generation = order()
    work.until(lambda: Output.objects.filter(attempts__gte=2).exists())
    settings.STORAGES = right

    assert work.until_done(generation).status == Status.COMPLETED


def test_c23_the_bucket_holds_exactly_the_outputs(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = work.until_done(order(prompt="cats", num_images=2))

    listing = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    for output in generation.outputs.all():
        stored = bucket.client.get_object(Bucket=bucket.name, Key=output.key)
        assert hashlib.sha256(stored["Body"].read()).hexdigest() == output.sha256
        assert stored["ContentType"] == output.content_type
    assert {item["Key"] for item in listing} == set(generation.outputs.values_list("key", flat=True))


def test_c25_the_row_names_the_file_of_the_attempt_that_held_the_lease(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    """A worker that dies between the upload and the commit leaves an object, which the storage cleaner deletes."""
    generation = order()
    work.until(Output.objects.exists)
    (lost,) = leases.claim(Output.objects.all(), limit=1, seconds=-1)
    left_behind = copier.key_of(lost, "jpg")
    bucket.client.put_object(Bucket=bucket.name, Key=left_behind, Body=b"half an image")

    output = work.until_done(generation).outputs.get()
    # The worker that has lost its lease ends its upload only now.
    bucket.client.put_object(Bucket=bucket.name, Key=left_behind, Body=b"another image")

    assert set(bucket.keys()) == {left_behind, output.key}
    assert hashlib.sha256(bucket.read(output.key)).hexdigest() == output.sha256


# --- Leases ---


def test_e3_a_worker_that_has_lost_its_lease_cannot_complete_the_generation(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(Output.objects.exists)
    (lost,) = leases.claim(Output.objects.all(), limit=1, seconds=-1)
    (held,) = leases.claim(Output.objects.all(), limit=1, seconds=30)
    file = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")

    assert lifecycle.stored(lost, file) is False
    assert Generation.objects.get().status == Status.PROCESSING

    assert lifecycle.stored(held, file) is True
    generation.refresh_from_db()
    assert generation.status == Status.COMPLETED


def test_copies_that_end_at_once_complete_the_generation_once(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    """The files of a generation are copied in parallel."""
    generation = work.until_done(order(prompt="cats", num_images=4))

    assert generation.events.filter(fact="completed").count() == 1


# --- Costs ---


def test_a_copy_needs_no_statement_but_those_that_claim_it_and_record_its_end(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = order()
    work.until(generation.outputs.exists)
    claimed = leases.claim(Output.objects.to_copy(), limit=1, seconds=30)
    stored: list[StoredFile] = []

    def record(output: Output, file: StoredFile) -> bool:
        stored.append(file)
        return True

    monkeypatch.setattr(lifecycle, "stored", record)

    with CaptureQueriesContext(connection) as captured:
        copier.copy_claimed(claimed)

    assert (len(stored), captured.captured_queries) == (1, [])


def test_a_copy_takes_at_most_8_statements_from_its_claim_to_its_end(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(generation.outputs.exists)

    with CaptureQueriesContext(connection) as captured:
        assert copier.run_once(limit=1) == 1

    generation.refresh_from_db()
    statements = [query["sql"].split()[0] for query in captured.captured_queries]
    assert generation.status == Status.COMPLETED
    # On SQLite each transaction also has its BEGIN and its COMMIT, which cost no round trip.
    assert 3 <= len(statements) <= (8 if connection.vendor == "postgresql" else 15), statements


def wait_for_the_end(connection: Connection) -> None:
    connection.pause(HANG_SECONDS)


def test_a_copy_that_takes_long_delays_no_other(
    settings, fal: Simulator, order_answered_with: OrderAnsweredWith
) -> None:
    with serving(wait_for_the_end) as silent, serving(respond("200 OK", body=film())) as server:
        settings.FAL_MEDIA_HOSTS = [silent.host, server.host]
        slow = order_answered_with(f"{silent.url}/film").outputs.get()
        assert copier.start_due(limit=8) == 1
        quick = order_answered_with(f"{server.url}/film").outputs.get()

        assert copier.start_due(limit=8) == 1

        until(lambda: Output.objects.get(pk=quick.pk).state == Output.State.STORED)
        assert Output.objects.get(pk=slow.pk).state == Output.State.PENDING
        silent.stopping.set()
        until(lambda: Output.objects.get(pk=slow.pk).lease is None)
