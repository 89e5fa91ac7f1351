"""The time that Limn adds to a submission: an order through the API, compared with `fal_client.submit` alone.

Both send the same POST to the stand-in for fal, one at a time. What Limn adds is the difference.
"""

from __future__ import annotations

import json
import subprocess
import sys

from quality.benchmarks import http_load
from quality.benchmarks.environment import CpuMeter, Environment, meter
from quality.benchmarks.fal_server import FAL_KEY
from quality.benchmarks.options import Options
from quality.benchmarks.results import Aim, Result
from quality.chaos.processes import ROOT

WARM_UP = 32
CONNECTIONS = 8
ENDPOINT = "fal-ai/flux/schnell"
# A program of its own, because only generations.fal may import fal_client. It prints the durations in seconds.
# fal_client always writes https; the stand-in speaks http.
FAL_CLIENT = """
import json, sys, time
from functools import cached_property
import fal_client, httpx
key, port, endpoint, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
class Transport(httpx.HTTPTransport):
    def handle_request(self, request):
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=port)
        return super().handle_request(request)
class Client(fal_client.SyncClient):
    @cached_property
    def _client(self):
        return httpx.Client(transport=Transport(), headers={"Authorization": f"Key {key}"})
client, durations = Client(key=key), []
for number in range(count):
    began = time.perf_counter()
    arguments = {"prompt": f"a lighthouse on a cliff above the sea at dusk {number}", "image_size": "landscape_4_3"}
    client.submit(endpoint, arguments, webhook_url="http://127.0.0.1:9/hooks/fal/x/y")
    durations.append(time.perf_counter() - began)
print(json.dumps(durations[10:]))
"""


def measure(environment: Environment, options: Options) -> list[Result]:
    """Measure the latency one at a time, and the rate of eight at once."""
    environment.fal.forget()
    environment.fal.behave(callback_seconds=-1)
    added = Result(
        row="order",
        what="time added to a submission, p50",
        unit="ms",
        against="fal_client.submit alone",
        has_ratio=False,
        aim=Aim(of="value", comparison="≤", limit=10),
    )
    slowest = Result(row="order", what="the same, p99", unit="ms", against="fal_client.submit alone", has_ratio=False)
    rate = Result(row="order", what="orders, 8 at once", unit="per second")
    with environment.limn(environment.limn_database("order")) as limn:
        _place(limn.port, [limn.order(number) for number in range(min(WARM_UP, options.orders))], CONNECTIONS)
        groups = meter(environment, limn).groups
        cpu = CpuMeter({"web": groups["web"], "postgresql": groups["postgresql"]})
        for _ in range(options.alternations):
            cpu.start()
            load = _place(limn.port, [limn.order() for _ in range(options.orders)], 1)
            used = cpu.stop()
            alone = submit_alone(environment.fal.port, options.orders)
            for result, percent in ((added, 50), (slowest, 99)):
                result.other.append(alone.percentile(percent))
                result.limn.append(load.percentile(percent) - alone.percentile(percent))
            orders = [limn.order(number) for number in range(options.orders)]
            rate.limn.append(_place(limn.port, orders, CONNECTIONS).per_second)
            added.cpu_ms = {f"Limn {name}": 1000 * used[name] / options.orders for name in cpu.groups}
    return [added, slowest, rate]


def submit_alone(port: int, count: int) -> http_load.Load:
    """Return how long `fal_client.submit` takes."""
    command = [sys.executable, "-c", FAL_CLIENT, FAL_KEY, str(port), ENDPOINT, str(count + 10)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return http_load.Load(durations=json.loads(ended.stdout))


def _place(port: int, orders: list[bytes], connections: int) -> http_load.Load:
    load = http_load.closed_loop(port, orders, connections=connections, expected=(202,))
    if load.statuses[503]:
        raise http_load.LoadError(f"{load.statuses[503]} orders were answered with 503")
    return load
