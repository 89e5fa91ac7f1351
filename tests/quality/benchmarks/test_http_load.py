"""The load generator reads every framing of HTTP, counts what it should, and stops at a wrong answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from quality.benchmarks import http_load

pytestmark = [pytest.mark.once, pytest.mark.slow]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status = int(self.path.strip("/").split("-")[0])
        self.send_response(status)
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n0\r\n\r\n")
        elif status == 304:
            self.end_headers()
        else:
            self.send_header("Content-Length", "5")
            self.end_headers()
            # The body comes in another packet than the head.
            self.wfile.flush()
            self.wfile.write(b"hello")
        # The client is not told.
        self.close_connection = "closes" in self.path

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def get(path: str) -> bytes:
    return http_load.request("GET", f"/{path}", {})


@pytest.mark.parametrize("path", ["200", "200-chunked"])
def test_a_body_is_read_to_its_end(port: int, path: str) -> None:
    assert b"hello" in http_load.fetch(port, get(path))


def test_all_requests_are_sent_over_all_connections(port: int) -> None:
    load = http_load.closed_loop(port, [get("200")] * 50, connections=4)

    assert load.statuses == {200: 50}
    assert len(load.durations) == 50
    assert 0 < load.percentile(50) <= load.percentile(99)


def test_the_time_ends_a_run(port: int) -> None:
    load = http_load.closed_loop(port, http_load.cycle([get("304")]), connections=2, expected=(304,), seconds=0.05)

    assert load.statuses[304] == len(load.durations) > 0


def test_a_503_is_counted_and_not_timed(port: int) -> None:
    load = http_load.closed_loop(port, [get("503"), get("200")], connections=1)

    assert load.statuses == {503: 1, 200: 1}
    assert len(load.durations) == 1


def test_any_other_answer_ends_the_run(port: int) -> None:
    with pytest.raises(http_load.LoadError, match="answered 404"):
        http_load.closed_loop(port, [get("404")], connections=1)


def test_an_open_loop_sends_everything(port: int) -> None:
    load = http_load.open_loop(port, [get("200")] * 20, per_second=1000, expected=(200,))

    assert load.statuses == {200: 20}


def test_an_open_loop_leaves_a_connection_that_the_server_has_closed(port: int) -> None:
    load = http_load.open_loop(port, [get("200-closes")] * 3, per_second=5, expected=(200,))

    assert load.statuses == {200: 3}
