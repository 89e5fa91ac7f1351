"""Files that are not where fal said: fal is asked once more, and then they are given up. Case C28."""

from __future__ import annotations

from datetime import timedelta

import pytest

from generations import lifecycle
from generations.files import storage
from generations.files.media_types import TooCostly
from generations.files.storage import StoredOtherwise
from generations.models import FailureCode, Output, Status
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work
from tests.helpers.outages import let_outage_pass

pytestmark = pytest.mark.django_db(transaction=True)


def test_c28_a_file_that_fal_has_moved_is_found_at_its_new_url(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order()
    work.until(Output.objects.exists)
    old_url = f"{fal.url}/files/moved-since"
    Output.objects.update(source_url=old_url)

    work.until_done(generation)

    output = generation.outputs.get()
    assert generation.status == Status.COMPLETED
    assert (output.attempts, output.misses) == (4, 3)
    assert output.source_url != old_url


def test_each_of_several_files_gets_its_own_new_url(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order(prompt="cats", num_images=3)
    work.until(Output.objects.exists)
    urls = list(generation.outputs.values_list("source_url", flat=True))
    generation.outputs.exclude(index=0).update(source_url=f"{fal.url}/files/moved-since")

    work.until_done(generation)

    assert list(generation.outputs.values_list("source_url", flat=True)) == urls


@pytest.mark.parametrize("fault", ["result:404", "result:410"])
def test_c28_a_file_whose_result_fal_has_deleted_too_costs_nothing(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault, "callback:lost")
    generation = order()
    work.submit()
    lifecycle.answered(generation.submissions.get(), {"images": [{"url": f"{fal.url}/files/moved-since"}]})

    work.until_done(generation)

    assert (generation.failure_code, generation.captured) == (FailureCode.COPY_FAILED, 0)
    assert generation.outputs.get().attempts == 6


def test_a_file_that_fal_still_names_at_the_same_url_is_given_up(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:404")
    generation = order()
    work.until(Output.objects.exists)
    source_url = Output.objects.get().source_url

    work.until_done(generation)

    output = generation.outputs.get()
    assert (output.source_url, output.misses) == (source_url, 6)


def test_attempts_during_an_outage_of_limns_storage_do_not_count_as_misses(
    fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    """After an outage of an hour, a single 404 of the CDN must not give the file up."""
    fal.script("cdn:404x1")
    generation = order()
    work.until(Output.objects.exists)
    Output.objects.update(attempts=50)

    assert work.until_done(generation).status == Status.COMPLETED


@pytest.mark.parametrize("fault", ["cdn:404x1", "cdn:503x1"])
def test_f14_after_an_outage_one_fault_of_the_cdn_loses_no_file(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault)
    generation = order()
    work.until(Output.objects.exists)
    Output.objects.update(misses=5)
    let_outage_pass(timedelta(days=8), fal)

    assert work.until_done(generation).status == Status.COMPLETED


@pytest.mark.parametrize("error", [TooCostly("it took too much time"), StoredOtherwise("another file")], ids=repr)
def test_c12_trouble_of_this_machine_or_of_the_storage_is_no_miss(
    error: Exception, order: PlaceOrder, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    generation = order()
    work.until(Output.objects.exists)
    with monkeypatch.context() as trouble:
        trouble.setattr(storage, "put_proven", fail)
        for _ in range(8):
            work.copy()

    assert Output.objects.get().misses == 0
    assert work.until_done(generation).status == Status.COMPLETED


def test_a_waiting_output_shows_its_last_error_and_its_deadline(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:503x3")
    order()

    work.until(lambda: Output.objects.filter(attempts=2).exists())

    output = Output.objects.get()
    assert "503" in output.detail
    assert output.give_up_at > output.generation.created_at
