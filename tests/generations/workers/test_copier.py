"""Outputs are copied completely or not at all. Case ids: docs/failure-modes.md, group C."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from django.utils import timezone

from credits.models import Account
from generations import lifecycle
from generations.jobs import leases
from generations.lifecycle import StoredFile
from generations.models import FailureCode, Generation, Output, Status
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.services.seaweed import Bucket

pytestmark = pytest.mark.django_db(transaction=True)

HOPELESS = ["cdn:404", "cdn:403", "cdn:410", "cdn:html", "cdn:cut_nolen"]
AT_ONCE = ["cdn:endless", "cdn:huge", "cdn:redirect", "outputs:evil_output_url"]
PASSING = ["cdn:404x2", "cdn:429x2", "cdn:500x2", "cdn:503x2", "cdn:truncatedx2", "cdn:cut_nolenx2", "cdn:htmlx2"]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless file ends sooner; every picture of the simulator is far smaller."""
    monkeypatch.setattr("generations.workers.copier.FILE_BYTES_MAX", 20 * 1024 * 1024)


@pytest.mark.parametrize("fault", PASSING)
def test_c3_c4_what_passes_is_tried_again_until_it_is_whole(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = work.until_done(order())

    assert generation.status == Status.COMPLETED
    assert generation.outputs.get().attempts == 3


@pytest.mark.parametrize("fault", HOPELESS + AT_ONCE)
def test_c1_c7_c9_c11_c14_c15_what_never_comes_whole_fails_and_costs_nothing(
    fault: str, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)

    generation = work.until_done(order())

    alice.refresh_from_db()
    assert (generation.failure_code, alice.balance, alice.held) == (FailureCode.COPY_FAILED, 1000, 0)
    assert generation.outputs.get().attempts == (1 if fault in AT_ONCE else 6)


def test_c14_c15_no_foreign_host_is_ever_called(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("outputs:evil_output_url")
    fal.script("cdn:redirect")

    work.until_done(order()), work.until_done(order())

    assert fal.log.visits() == []


def test_c10_a_packed_answer_is_refused(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:bombx1")

    assert work.until_done(order()).outputs.get().attempts == 2


def test_the_content_type_is_ours_to_say(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:wrong_type")

    output = work.until_done(order(prompt="a cat", output_format="png")).outputs.get()

    assert (output.content_type, output.key[-4:]) == ("image/png", ".png")


def test_b17_a_data_address_is_unpacked_under_the_same_rules(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("outputs:data_uri")

    output = work.until_done(order()).outputs.get()

    assert (output.kind, output.size_bytes is not None and output.size_bytes > 1000) == ("image", True)


@pytest.mark.parametrize("url", ["data:image/png,plain", "data:image/png;base64,%%%", "data:image/png;base64,AAAA"])
def test_b17_a_data_address_that_holds_no_picture_is_refused(
    url: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script("result:410")
    generation = order()
    work.submit()
    lifecycle.answered(generation.submissions.get(), {"images": [{"url": url}]})

    assert work.until_done(generation).failure_code == FailureCode.COPY_FAILED


@pytest.mark.parametrize(
    "fault, captured", [("cdn:404@1", 2), ("outputs:fewer", 2), ("outputs:more", 3), ("outputs:nested", 3)]
)
def test_c27_n_of_m_files_cost_n_of_m_of_the_price(
    fault: str, captured: int, fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    price = 4 * 3
    fal.script(fault)

    generation = work.until_done(order(prompt="cats", num_images=4))

    alice.refresh_from_db()
    expected = price * {2: 3, 3: 4}[captured] // 4
    assert (generation.status, generation.captured, generation.released) == ("completed", expected, price - expected)
    assert (alice.balance, alice.held) == (1000 - expected, 0)


def test_b16_an_answer_without_a_file_fails_and_costs_nothing(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("outputs:zero")

    assert work.until_done(order()).failure_code == FailureCode.PROVIDER_ERROR


def test_c20_a_storage_that_is_away_is_tried_until_the_deadline(
    settings, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.submit()
    unreachable = Bucket(name="none", endpoint_url="http://127.0.0.1:9")
    settings.STORAGES = {**settings.STORAGES, "default": unreachable.storage}
    work.until(lambda: Output.objects.filter(attempts__gte=2).exists())
    Output.objects.update(give_up_at=timezone.now() - timedelta(seconds=1))

    assert work.until_done(generation).failure_code == FailureCode.COPY_FAILED


def test_c22_a_wrong_storage_key_can_be_mended_while_the_copy_waits(
    settings, bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    right = settings.STORAGES
    wrong = Bucket(name=bucket.name, endpoint_url=bucket.endpoint_url, secret_key="wrong")
    settings.STORAGES = {**right, "default": wrong.storage}
    generation = order()
    work.until(lambda: Output.objects.filter(attempts__gte=2).exists())
    settings.STORAGES = right

    assert work.until_done(generation).status == Status.COMPLETED


def test_c23_what_lies_in_the_bucket_is_what_fal_served(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = work.until_done(order(prompt="cats", num_images=2))

    listing = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    for output in generation.outputs.all():
        stored = bucket.client.get_object(Bucket=bucket.name, Key=output.key)
        assert hashlib.sha256(stored["Body"].read()).hexdigest() == output.sha256
        assert stored["ContentType"] == output.content_type
    assert {item["Key"] for item in listing} == set(generation.outputs.values_list("key", flat=True))


def test_c25_a_crash_between_put_and_commit_leaves_no_second_object(
    bucket: Bucket, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    generation = order()
    work.until(Output.objects.exists)
    bucket.client.put_object(Bucket=bucket.name, Key=f"generations/{generation.pk}/0.jpg", Body=b"half a picture")

    work.until_done(generation)

    (item,) = bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"]
    assert item["Size"] == generation.outputs.get().size_bytes


def test_e3_an_owner_who_slept_through_his_lease_is_refused(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order()
    work.until(Output.objects.exists)
    (slow,) = leases.claim(Output.objects.all(), limit=1, seconds=-1)
    (quick,) = leases.claim(Output.objects.all(), limit=1, seconds=30)
    file = StoredFile(key="k", kind="image", content_type="image/png", size_bytes=1, sha256="s")

    assert lifecycle.stored(slow, file) is False
    assert Generation.objects.get().status == Status.PROCESSING

    assert lifecycle.stored(quick, file) is True
    generation.refresh_from_db()
    assert generation.status == Status.COMPLETED


def test_two_copies_that_end_at_once_complete_it_once(
    fal: Simulator, alice: Account, order: PlaceOrder, work: Work
) -> None:
    generation = work.until_done(order(prompt="cats", num_images=4))

    facts = list(generation.events.values_list("fact", flat=True))
    assert facts.count("completed") == 1
