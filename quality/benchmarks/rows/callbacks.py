"""Callbacks per second, 16 at once, compared with a bare Django view and with dj-stripe's webhook endpoint.

Every callback belongs to another submission that waits for it. The submissions are prepared by orders through the API,
while the stand-in for fal sends nothing by itself. Each alternation begins with the same database, a copy of the
prepared one, so that it measures first callbacks and no repetitions.
"""

from __future__ import annotations

from contextlib import ExitStack

from quality.benchmarks import fal_server, http_load, stripe_peer
from quality.benchmarks.environment import Environment, meter
from quality.benchmarks.floor_server import floor_server
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from quality.benchmarks.side import Side

WARM_UP = 64
FIRST_PREPARED = 200


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure Limn, the bare view and dj-stripe alternately."""
    floor = Result(
        row="callbacks",
        what="callbacks, 16 at once",
        unit="per second",
        against="a bare Django view that verifies Ed25519 and inserts one row",
        aim=Aim(of="ratio", comparison="≥", limit=0.5),
    )
    peer = Result(
        row="callbacks",
        what="callbacks compared with dj-stripe",
        unit="per second",
        against="dj-stripe's webhook endpoint",
        aim=Aim(of="ratio", comparison="≥", limit=4),
    )
    urls = prepare(environment, min(FIRST_PREPARED, options.requests_max))
    database = {"postgresql": [environment.postgres.pid]}
    with ExitStack() as stack:
        floor_view = stack.enter_context(floor_server(environment))
        bare = Side("bare view", floor_view.port, {"server": [floor_view.pid], **database})
        stripe = stack.enter_context(stripe_peer.server(environment)) if options.peer else None
        if options.requests_max > FIRST_PREPARED:
            # The first round shows how many callbacks Limn handles in the time of an alternation.
            wanted = min(options.requests_max, round(of_limn(environment, urls, floor) * options.seconds) + WARM_UP)
            urls = prepare(environment, wanted) if wanted > len(urls) else urls
        for _ in range(options.alternations):
            floor.limn.append(of_limn(environment, urls, floor))
            messages = [_to_bare_view(message) for message in callbacks(environment, urls)]
            bare.load(messages[:WARM_UP], floor)
            floor.other.append(bare.load(http_load.cycle(messages), floor, seconds=options.seconds))
            if stripe is not None:
                side = Side("dj-stripe", stripe.port, {"server": [stripe.pid], **database})
                side.load(stripe.events(WARM_UP), peer)
                count = min(options.requests_max, round(stripe_peer.GUESS_PER_SECOND * options.seconds))
                peer.other.append(side.load(stripe.events(count), peer))
    peer.limn = floor.limn
    floor.note = f"{len(urls) - min(WARM_UP, len(urls) // 2)} callbacks in each alternation, no worker is running"
    return [floor, peer] if options.peer else [floor]


def prepare(environment: Environment, count: int) -> list[tuple[str, str]]:
    """Order `count` images that fal has accepted and not answered. Returns each webhook URL with its request id."""
    environment.fal.forget()
    environment.fal.behave(callback_seconds=-1)
    with environment.limn(environment.limn_database("callbacks")) as limn:
        orders = [limn.order(number) for number in range(count)]
        http_load.closed_loop(limn.port, orders, connections=8, expected=(202,))
    jobs = environment.fal.jobs()
    if len(jobs) != count:
        raise http_load.LoadError(f"of {count} orders fal got {len(jobs)}")
    return [(job["webhook_url"], job["request_id"]) for job in jobs]


def callbacks(environment: Environment, urls: list[tuple[str, str]]) -> list[bytes]:
    """Return signed callbacks, which are valid for five minutes."""
    state = fal_server.State(f"http://127.0.0.1:{environment.fal.port}", environment.fal.signer)
    return [state.callback(fal_server.Job(request_id, url, 0)) for url, request_id in urls]


def of_limn(environment: Environment, urls: list[tuple[str, str]], result: Result) -> float:
    """Return how many of these callbacks Limn handles per second."""
    database = environment.database("callbacks_copy", template="callbacks")
    with environment.limn(database) as limn:
        groups = meter(environment, limn).groups
        side = Side("Limn", limn.port, {"server": groups["web"], "postgresql": groups["postgresql"]})
        messages = callbacks(environment, urls)
        warm_up = min(WARM_UP, len(messages) // 2)
        side.load(messages[:warm_up], result)
        return side.load(messages[warm_up:], result)


def _to_bare_view(message: bytes) -> bytes:
    return b"POST /callback/ " + message.split(b" ", 2)[2]
