"""A file that is not where it was said to be: fal is asked once more, and then it is given up."""

from __future__ import annotations

import pytest

from generations import lifecycle
from generations.models import FailureCode, Output, Status
from simulator import Simulator
from tests.fixtures.orders import PlaceOrder
from tests.helpers.background_work import Work

pytestmark = pytest.mark.django_db(transaction=True)


def lead_astray(fal: Simulator, work: Work) -> Output:
    """fal has answered, and the file has moved since."""
    work.until(Output.objects.exists)
    Output.objects.update(source_url=f"{fal.url}/files/moved-since")
    return Output.objects.get()


def test_c28_a_file_that_moved_is_found_again(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order()
    astray = lead_astray(fal, work)

    work.until_done(generation)

    output = generation.outputs.get()
    assert generation.status == Status.COMPLETED
    assert (output.attempts, output.misses) == (4, 3)
    assert output.source_url != astray.source_url


def test_each_file_finds_its_own_address(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    generation = order(prompt="cats", num_images=3)
    work.until(Output.objects.exists)
    right = list(generation.outputs.values_list("source_url", flat=True))
    generation.outputs.exclude(index=0).update(source_url=f"{fal.url}/files/moved-since")

    work.until_done(generation)

    assert list(generation.outputs.values_list("source_url", flat=True)) == right


@pytest.mark.parametrize("fault", ["result:404", "result:410"])
def test_c28_when_fal_has_forgotten_it_too_it_ends_and_costs_nothing(
    fault: str, fal: Simulator, order: PlaceOrder, work: Work
) -> None:
    fal.script(fault, "callback:lost")
    generation = order()
    work.submit()
    lifecycle.answered(generation.submissions.get(), {"images": [{"url": f"{fal.url}/files/moved-since"}]})

    work.until_done(generation)

    assert (generation.failure_code, generation.captured) == (FailureCode.COPY_FAILED, 0)
    assert generation.outputs.get().attempts == 6


def test_fal_is_asked_once(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:404")
    generation = order()
    work.until(Output.objects.exists)
    source = Output.objects.get().source_url

    work.until_done(generation)

    assert generation.outputs.get().source_url == source
    assert generation.outputs.get().misses == 6


def test_an_outage_of_our_own_storage_uses_up_no_chance(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    """After an hour's outage a single stumble of the CDN must not be the end."""
    fal.script("cdn:404x1")
    generation = order()
    work.until(Output.objects.exists)
    Output.objects.update(attempts=50)

    assert work.until_done(generation).status == Status.COMPLETED


def test_staff_can_see_why_it_waits_and_until_when(fal: Simulator, order: PlaceOrder, work: Work) -> None:
    fal.script("cdn:503x3")
    order()

    work.until(lambda: Output.objects.filter(attempts=2).exists())

    output = Output.objects.get()
    assert "503" in output.detail
    assert output.give_up_at > output.generation.created_at
