"""The file server: correct downloads, and each fault of a download."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable

import httpx
import pytest
from PIL import Image

from generations.catalogue import extract_files
from simulator import Simulator
from simulator.scenario_table import CDN
from tests.services.waiting import until
from tests.simulator.queue_client import NO_TLS, TIMEOUT_SECONDS, QueueClient, get


def run_and_urls(client: QueueClient, scenarios: str, *, images: int = 1) -> list[str]:
    """Run a job and return the URLs of its files."""
    request = client.run(scenarios, inputs={"num_images": images})
    return [image["url"] for image in client.result(request.request_id).json()["images"]]


def test_a_download_has_the_logged_bytes(fal: Simulator, queue_client: QueueClient) -> None:
    (found,) = extract_files(queue_client.result(queue_client.run().request_id).json())

    response = get(found.url)

    (file,) = fal.log.files()
    assert hashlib.sha256(response.content).hexdigest() == file.sha256 == fal.log.served()[0].sha256
    assert int(response.headers["Content-Length"]) == file.size_bytes == len(response.content)
    assert Image.open(io.BytesIO(response.content)).size == (found.width, found.height)


def test_a_fault_can_apply_to_one_output(queue_client: QueueClient) -> None:
    urls = run_and_urls(queue_client, "[cdn:404@1]", images=3)

    assert [get(url).status_code for url in urls] == [200, 404, 200]


def test_a_fault_can_be_limited_to_the_first_downloads(queue_client: QueueClient) -> None:
    (url,) = run_and_urls(queue_client, "[cdn:503x2]")

    assert [get(url).status_code for _ in range(3)] == [503, 503, 200]


STATUS_FAULTS = [choice for choice in CDN if choice.isdigit()]
CONTENT_FAULTS: dict[str, Callable[[Simulator, httpx.Response], bool]] = {
    "html": lambda fal, response: response.headers["Content-Type"] == "image/png" and b"<h1>" in response.content,
    "wrong_type": lambda fal, response: (
        response.headers["Content-Type"] == "text/html" and response.content[:2] == b"\xff\xd8"
    ),
    "redirect": lambda fal, response: (
        response.status_code == 302 and response.headers["Location"].startswith(fal.canary_url)
    ),
    **dict.fromkeys(
        ("cut_nolen", "cut_untold"),
        lambda fal, response: len(response.content) == fal.log.files()[-1].size_bytes // 2,
    ),
    **dict.fromkeys(
        ("nolen", "untold"),
        lambda fal, response: (
            len(response.content) == fal.log.files()[-1].size_bytes and "Content-Length" not in response.headers
        ),
    ),
}


def test_a_download_can_be_an_error(fal: Simulator, queue_client: QueueClient) -> None:
    for choice in STATUS_FAULTS:
        (url,) = run_and_urls(queue_client, f"[cdn:{choice}]")
        assert get(url).status_code == int(choice)

    assert [served.fault for served in fal.log.served()] == STATUS_FAULTS


def test_a_download_can_have_wrong_content(fal: Simulator, queue_client: QueueClient) -> None:
    for choice, is_expected in CONTENT_FAULTS.items():
        (url,) = run_and_urls(queue_client, f"[cdn:{choice}]")
        assert is_expected(fal, get(url)), choice

    assert [served.fault for served in fal.log.served()] == list(CONTENT_FAULTS)


def test_a_file_expires_five_seconds_after_the_job_completed(queue_client: QueueClient) -> None:
    (url,) = run_and_urls(queue_client, "[cdn:expires]")

    # Five seconds of fal's are 25 ms here.
    assert until(lambda: get(url).status_code == 404)


STREAMED_FAULTS: dict[str, Callable[[httpx.Response], bool]] = {
    "endless": lambda response: (
        sum(len(part) for part, _ in zip(response.iter_raw(65536), range(80), strict=False)) > 5e6
    ),
    "huge": lambda response: response.headers["Content-Length"] == "5000000000",
    "drip": lambda response: next(response.iter_raw()) == b"\xff",
    "bomb": lambda response: (
        response.headers["Content-Encoding"] == "gzip"
        and len(compressed := b"".join(response.iter_raw())) < 200_000
        and len(zlib.decompress(compressed, wbits=31)) == 100 * 1024**2
    ),
}


@pytest.mark.parametrize("choice", STREAMED_FAULTS)
def test_a_download_can_exceed_the_limits_of_its_client(queue_client: QueueClient, choice: str) -> None:
    (url,) = run_and_urls(queue_client, f"[cdn:{choice}]")

    with httpx.stream("GET", url, trust_env=False, verify=NO_TLS, timeout=TIMEOUT_SECONDS) as response:
        assert STREAMED_FAULTS[choice](response)


def lengths(url: str, size: int) -> list[tuple[int, str | None]]:
    """What HEAD and four ranges tell about the length of a file of this size."""
    with httpx.Client(trust_env=False, verify=NO_TLS, timeout=TIMEOUT_SECONDS) as client:
        head = client.head(url)
        found = [(head.status_code, head.headers.get("Content-Length"))]
        for asked in (f"bytes={size}-", f"bytes={size - 1}-", "bytes=1-2", "bytes=-5"):
            part = client.get(url, headers={"Range": asked})
            found.append((part.status_code, part.headers.get("Content-Range")))
    return found


def test_the_length_of_a_file_can_be_asked_for(fal: Simulator, queue_client: QueueClient) -> None:
    for scenarios in ("", "[cdn:nolen]", "[cdn:cut_nolen]", "[cdn:truncatedx1]"):
        (url,) = run_and_urls(queue_client, scenarios)
        size = fal.log.files()[-1].size_bytes

        assert lengths(url, size) == [
            (200, str(size)),
            (416, f"bytes */{size}"),
            (206, f"bytes {size - 1}-{size - 1}/{size}"),
            (206, f"bytes 1-2/{size}"),
            (200, None),
        ], scenarios


def test_the_length_of_a_file_can_be_refused(queue_client: QueueClient) -> None:
    for scenarios in ("[cdn:untold]", "[cdn:cut_untold]"):
        (url,) = run_and_urls(queue_client, scenarios)

        assert {status for status, _ in lengths(url, 100)} == {403}


def test_a_question_about_the_length_uses_up_no_fault(fal: Simulator, queue_client: QueueClient) -> None:
    (url,) = run_and_urls(queue_client, "[cdn:cut_nolenx1]")
    size = fal.log.files()[-1].size_bytes

    lengths(url, size)

    assert [len(get(url).content) for _ in range(2)] == [size // 2, size]


def test_a_download_can_end_before_its_content_length(queue_client: QueueClient) -> None:
    (url,) = run_and_urls(queue_client, "[cdn:truncated]")

    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        get(url)


def test_every_fault_of_the_file_server_has_a_test() -> None:
    assert {*STATUS_FAULTS, *CONTENT_FAULTS, *STREAMED_FAULTS, "expires", "truncated"} == set(CDN)
