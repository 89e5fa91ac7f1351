"""Hosts that are refused because of a wrong setting or a wrong answer of DNS: the file waits. Cases C15 and C16."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import requests.adapters
from django.utils import timezone

from generations.models import FailureCode, Generation, Output, Status
from generations.workers import copier
from tests.fixtures.safe_http import authority, resolver
from tests.fixtures.storage import OrderAnsweredWith
from tests.generations.files.example_files import film
from tests.helpers.background_work import Work
from tests.helpers.certificates import Authority
from tests.helpers.outages import let_patience_end
from tests.helpers.scripted_servers import ScriptedResolver, Server, respond, serving

__all__ = ["authority", "resolver"]
pytestmark = pytest.mark.django_db(transaction=True)

NAME, PUBLIC, PRIVATE = "v3.fal.media", "93.184.216.34", "10.0.0.1"
URL = f"https://{NAME}/film"


@pytest.fixture
def server(authority: Authority, resolver: ScriptedResolver, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The file server of fal, at its public address."""
    monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(authority.path))
    answer = respond("200 OK", f"Content-Length: {len(film())}", body=film())
    with serving(answer, tls=authority.server(NAME)) as listening:

        def connect(address: tuple[str, int], *args: object, **options: object) -> socket.socket:
            own = ("127.0.0.1", listening.port) if address == (PUBLIC, 443) else address
            return resolver.create_connection(own, *args, **options)

        monkeypatch.setattr(socket, "create_connection", connect)
        yield listening


def name_another_host(settings, resolver: ScriptedResolver) -> Callable[[], None]:
    settings.FAL_MEDIA_HOSTS = ["*.example"]

    def correct() -> None:
        settings.FAL_MEDIA_HOSTS = ["*.fal.media"]
        resolver.resolve_to(NAME, [PUBLIC])

    return correct


def resolve_to_a_private_address(settings, resolver: ScriptedResolver) -> Callable[[], None]:
    settings.FAL_MEDIA_HOSTS = ["*.fal.media"]
    resolver.resolve_to(NAME, *[[PRIVATE]] * 20)
    return lambda: resolver.resolve_to(NAME, [PUBLIC])


Break = Callable[..., Callable[[], None]]
each_trouble = pytest.mark.parametrize("break_it", [name_another_host, resolve_to_a_private_address])


def is_untouched(server: Server, resolver: ScriptedResolver) -> bool:
    """Whether neither fal's server nor a private address was contacted."""
    return server.connections == 0 and not any(host in (PUBLIC, PRIVATE) for host, _ in resolver.connected)


@each_trouble
def test_c15_c16_a_file_waits_until_its_host_is_allowed_and_nothing_is_contacted(
    break_it: Break, settings, server: Server, resolver: ScriptedResolver, order_answered_with: OrderAnsweredWith
) -> None:
    work, correct = Work(), break_it(settings, resolver)
    generation = order_answered_with(URL)
    for _ in range(8):
        work.copy()
    output = generation.outputs.get()
    assert (output.state, output.attempts, output.misses) == (Output.State.PENDING, 8, 0)
    assert is_untouched(server, resolver)

    correct()

    assert work.until_done(generation).status == Status.COMPLETED


@each_trouble
def test_c15_c16_a_host_that_stays_refused_is_reported_and_in_the_end_is_an_error_of_limn(
    break_it: Break, settings, server: Server, resolver: ScriptedResolver, order_answered_with: OrderAnsweredWith
) -> None:
    work = Work()
    break_it(settings, resolver)
    generation: Generation = order_answered_with(URL)
    work.copy()
    let_patience_end(copier.PATIENCE)
    work.copy()
    assert generation.events.filter(fact="stuck").count() == 1

    Output.objects.update(give_up_at=timezone.now() - timedelta(seconds=1))

    assert work.until_done(generation).failure_code == FailureCode.INTERNAL_ERROR
    assert is_untouched(server, resolver)
