"""The sandbox: a file that crashes a decoder, or takes one over, harms a process that exists for that purpose."""

from __future__ import annotations

import io
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image, PngImagePlugin

from generations.files import sandbox, sandbox_process
from generations.files.inspection import inspect
from generations.files.media_types import TYPES, MediaInfo, NotMedia, TooCostly
from generations.files.sandbox import SandboxUnavailable
from tests.generations.files.example_files import FILES, box, picture
from tests.helpers.source import ROOT
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(autouse=True)
def no_other_helper() -> Iterator[None]:
    """Tests of other modules leave their helper process running."""
    sandbox.close()
    yield
    sandbox.close()


def inspected(data: bytes) -> MediaInfo:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return sandbox.inspect(file)


def started_helper() -> psutil.Process:
    """The helper process, which the first file starts."""
    inspected(FILES["png"])
    return running_helper()


def running_helper() -> psutil.Process:
    children = psutil.Process().children()
    (helper,) = [child for child in children if sandbox_process.__name__ in child.cmdline()]
    return helper


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_it_finds_what_an_inspection_without_it_finds() -> None:
    assert set(FILES) == set(TYPES)
    for extension, data in FILES.items():
        found = inspect(io.BytesIO(data), len(data))
        assert [inspected(data), sandbox.inspect_output(data)] == [found, found], extension


def test_metadata_that_pillow_reads_last_can_be_read() -> None:
    """The child can open nothing, so a module that Pillow imported only now would be missing."""
    file, more = io.BytesIO(), PngImagePlugin.PngInfo()
    more.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>", "", "")
    exif = Image.Exif()
    exif[0x010E] = "a fox"
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=more, exif=exif, icc_profile=b"profile")

    assert inspected(file.getvalue()).width == 8


# --- Harmful files ---


def test_g14_an_image_that_needs_too_much_memory_is_refused() -> None:
    bomb = io.BytesIO()
    # Eighty kilobytes, which decode to 1.6 gigabytes.
    Image.new("L", (10_000, 10_000)).save(bomb, "WEBP", method=0, quality=1)

    with pytest.raises(NotMedia):
        inspected(bomb.getvalue())

    assert inspected(FILES["png"]).extension == "png"


HARMFUL = {
    "a TIFF directory that refers to itself": b"II*\x00\x08\x00\x00\x00" + struct.pack("<HI", 0, 8),
    "a complete TIFF": picture("TIFF"),
    "a GIF of 65,535 by 65,535": b"GIF89a\xff\xff\xff\xff" + FILES["gif"][10:],
    "a truncated PNG": FILES["png"][:-400],
    "a film of too many boxes": box(b"ftyp", b"isom") + box(b"moov") + box(b"free") * 100_001,
    "a box of 2^63 bytes": box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 2**63),
}


@pytest.mark.parametrize("data", HARMFUL.values(), ids=HARMFUL)
def test_c30_g14_a_broken_or_swollen_file_is_refused(data: bytes) -> None:
    for inspect_in_sandbox in (inspected, sandbox.inspect_output):
        with pytest.raises(NotMedia):
            inspect_in_sandbox(data)


def test_g14_of_a_gif_with_many_frames_one_is_decoded() -> None:
    file = io.BytesIO()
    frame = Image.new("P", (16, 16))
    frame.save(file, "GIF", save_all=True, append_images=[frame.rotate(90 * i) for i in range(2000)], optimize=False)

    assert inspected(file.getvalue()).width == 16


def test_c13_data_behind_an_image_is_ignored() -> None:
    """Encoding outputs again would change fal's bytes. Their content type, nosniff and a sandbox make data harmless."""
    for data in (b"<html><script>alert(1)</script>", b"PK\x03\x04" + bytes(100)):
        assert inspected(FILES["png"] + data).content_type == "image/png"


# --- One process for several outputs ---


def idle_children() -> list[psutil.Process]:
    return running_helper().children()


def test_a_child_inspects_a_limited_number_of_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "CONTENTS_MAX", 2)
    waiting = []
    for _ in range(4):
        sandbox.inspect_output(FILES["png"])
        waiting.append(len(sandbox._children._idle))

    assert waiting == [1, 0, 1, 0]


def test_each_file_of_a_customer_has_a_child_of_its_own() -> None:
    sandbox.inspect_output(FILES["png"])
    (child,) = idle_children()

    inspected(FILES["png"])

    assert sandbox._children._idle[0][1] == sandbox_process.CONTENTS_MAX - 1
    assert child.is_running()


def test_an_output_is_inspected_although_the_child_of_an_earlier_one_has_died() -> None:
    sandbox.inspect_output(FILES["png"])
    (child,) = idle_children()
    child.kill()
    until(lambda: has_ended(child))

    assert sandbox.inspect_output(FILES["jpg"]).extension == "jpg"


def test_an_output_that_ends_its_child_is_refused_and_the_next_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(sandbox, "SECONDS_MAX", 1)
        sandbox._helper._start()
    sandbox.inspect_output(FILES["png"])

    with pytest.raises(TooCostly):
        sandbox.inspect_output(jpeg_of_many_scans())

    assert sandbox.inspect_output(FILES["png"]).extension == "png"


def test_c29_an_image_that_cannot_be_written_is_not_called_broken() -> None:
    with (
        tempfile.TemporaryFile() as file,
        open("/dev/full", "w+b", buffering=0) as image,
        tempfile.TemporaryFile() as thumbnail,
    ):
        file.write(FILES["png"])

        with pytest.raises(TooCostly):
            sandbox.sanitize(file, image, thumbnail)


def test_an_image_that_has_too_many_bytes_without_compression_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "SANITIZED_BYTES_MAX", 1000)
    own_end, child_end = socket.socketpair()
    with own_end, child_end, tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as image:
        Image.effect_noise((100, 100), 100).save(file, "PNG")
        file.flush()
        if (child := os.fork()) == 0:
            sandbox_process._work([child_end.fileno(), file.fileno(), image.fileno(), image.fileno()], 10)
        os.waitpid(child, 0)

        with pytest.raises(NotMedia, match="too many bytes"):
            sandbox._parse(own_end.recv(sandbox.ANSWER_BYTES_MAX))


# --- The process ends ---


def jpeg_of_many_scans() -> bytes:
    """Half a megabyte that describes a million pixels thousands of times."""
    file = io.BytesIO()
    Image.new("L", (1000, 1000), 120).save(file, "JPEG", progressive=True)
    *head, last = file.getvalue().split(b"\xff\xda")
    return b"\xff\xda".join([*head, *[last.removesuffix(b"\xff\xd9")] * 20_000]) + b"\xff\xd9"


def test_c30_an_endless_inspection_is_ended_by_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(sandbox, "SECONDS_MAX", 1)
        sandbox._helper._start()  # The helper keeps this limit for its children.
    before = running_helper()

    with pytest.raises(TooCostly):
        inspected(jpeg_of_many_scans())

    assert running_helper() == before


def test_a_helper_that_was_killed_is_replaced() -> None:
    first = started_helper()
    first.send_signal(signal.SIGKILL)
    until(lambda: has_ended(first))

    assert inspected(FILES["jpg"]).extension == "jpg"
    assert running_helper() != first


def test_a_helper_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    started_helper().send_signal(signal.SIGSTOP)

    with monkeypatch.context() as impatient:
        impatient.setattr(sandbox, "SECONDS_MAX", 1)
        with pytest.raises(SandboxUnavailable):
            inspected(FILES["jpg"])

    assert inspected(FILES["jpg"]).extension == "jpg"


def test_a_helper_that_cannot_be_started_says_nothing_about_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(SandboxUnavailable):
        inspected(FILES["png"])


def test_closing_ends_the_helper() -> None:
    helper = started_helper()

    sandbox.close()

    assert not helper.is_running()


def test_the_helper_ends_when_its_parent_is_killed() -> None:
    program = "from generations.files import sandbox; sandbox._helper._start(); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, cwd=ROOT) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        (helper,) = psutil.Process(worker.pid).children()
        worker.kill()

    until(lambda: has_ended(helper))
    assert worker.returncode == -signal.SIGKILL


def test_a_parent_that_was_killed_during_the_start_leaves_no_traceback() -> None:
    own_end, helper_end = socket.socketpair()
    with helper_end:
        command = [sys.executable, "-m", sandbox_process.__name__, str(helper_end.fileno()), "10"]
        helper = subprocess.Popen(command, pass_fds=[helper_end.fileno()], stderr=subprocess.PIPE, cwd=ROOT)

    with own_end:
        # READY has arrived and is not read, so closing this end resets the connection.
        select.select([own_end], [], [])
    _, errors = helper.communicate()

    assert (helper.returncode, errors) == (0, b"")


# --- The process is taken over ---

PLAUSIBLE = {"kind": "image", "content_type": "image/png", "extension": "png", "proves_end": True} | {
    "width": 1,
    "height": 1,
}
IMPLAUSIBLE: list[object] = [
    PLAUSIBLE | {"content_type": "text/html", "extension": "html"},
    PLAUSIBLE | {"extension": "../../png"},
    PLAUSIBLE | {"width": "1"},
    PLAUSIBLE | {"width": -1},
    PLAUSIBLE | {"proves_end": 1},
    {"kind": "image"},
    [],
    1,
    None,
]


def test_an_implausible_answer_is_not_believed() -> None:
    assert sandbox._parse(json.dumps(PLAUSIBLE).encode()).width == 1
    for answer in IMPLAUSIBLE:
        with pytest.raises(NotMedia):
            sandbox._parse(json.dumps(answer).encode())


def test_the_process_has_none_of_limns_secrets() -> None:
    environment = Path(f"/proc/{started_helper().pid}/environ").read_bytes()

    assert b"SECRET" not in environment
    assert b"KEY" not in environment
