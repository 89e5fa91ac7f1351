"""A file that harms whoever looks at it harms a process that is there for that."""

from __future__ import annotations

import io
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image, PngImagePlugin

from generations.files import sandbox
from generations.files.inspection import TYPES, NotMedia, inspect
from generations.files.sandbox import SandboxUnavailable, probe
from tests.generations.files.example_files import FILES, box, picture
from tests.services.waiting import until

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    sandbox.close()


def look(data: bytes):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        return probe(file)


def helper() -> psutil.Process:
    """The process that forks, after it was needed."""
    look(FILES["png"])
    return running_helper()


def running_helper() -> psutil.Process:
    (found,) = [child for child in psutil.Process().children() if "generations.files.sandbox" in child.cmdline()]
    return found


@pytest.mark.parametrize("extension", FILES)
def test_it_finds_what_we_would_find_ourselves(extension: str) -> None:
    data = FILES[extension]

    assert look(data) == inspect(io.BytesIO(data), len(data))


def test_what_pillow_reads_late_is_read_as_well() -> None:
    """Nothing can be opened in there: a module that were loaded only now would be missing."""
    file, more = io.BytesIO(), PngImagePlugin.PngInfo()
    more.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>", "", "")
    exif = Image.Exif()
    exif[0x010E] = "a fox"
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=more, exif=exif, icc_profile=b"profile")

    assert look(file.getvalue()).width == 8


# --- Bombs and other harm ---


def _swollen_webp() -> bytes:
    """Eighty kilobytes that unpack to 1.6 gigabytes."""
    file = io.BytesIO()
    Image.new("L", (10_000, 10_000)).save(file, "WEBP", method=0, quality=1)
    return file.getvalue()


def test_g14_a_picture_that_takes_too_much_memory_is_refused() -> None:
    with pytest.raises(NotMedia):
        look(_swollen_webp())

    assert look(FILES["png"]).extension == "png"


def _tiff_loop() -> bytes:
    """A directory of pictures whose next one is itself."""
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", 0) + struct.pack("<I", 8)


BOMBS = {
    "a TIFF that goes in circles": _tiff_loop(),
    "a whole TIFF": picture("TIFF"),
    "a GIF of 65,535 by 65,535": b"GIF89a\xff\xff\xff\xff" + FILES["gif"][10:],
    "a PNG cut short": FILES["png"][:-400],
    "a film without end": box(b"ftyp", b"isom") + box(b"moov") + box(b"free") * 100_001,
    "a box of nearly all bytes there are": box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"moov", 2**63),
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
def test_c30_g14_what_is_broken_or_swollen_is_refused(data: bytes) -> None:
    with pytest.raises(NotMedia):
        look(data)


def test_g14_gifs_of_many_frames_cost_no_more_than_one() -> None:
    file = io.BytesIO()
    frame = Image.new("P", (16, 16))
    frame.save(file, "GIF", save_all=True, append_images=[frame.rotate(90 * i) for i in range(2000)], optimize=False)

    assert look(file.getvalue()).width == 16


@pytest.mark.parametrize("tail", [b"<html><script>alert(1)</script>", b"PK\x03\x04" + bytes(100)], ids=["page", "zip"])
def test_c13_a_picture_with_a_tail_keeps_it_and_stays_a_picture(tail: bytes) -> None:
    """Re-encoding would change fal's bytes; the type we serve it by, nosniff and the sandbox make it harmless."""
    assert look(FILES["png"] + tail).content_type == "image/png"


# --- Whoever looks dies ---


def _jpeg_of_many_scans() -> bytes:
    """Half a megabyte that tells a million pixels a thousand times over."""
    file = io.BytesIO()
    Image.new("L", (1000, 1000), 120).save(file, "JPEG", progressive=True)
    *head, last = file.getvalue().split(b"\xff\xda")
    return b"\xff\xda".join([*head, *[last.removesuffix(b"\xff\xd9")] * 20_000]) + b"\xff\xd9"


def test_c30_a_look_without_end_is_ended_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as impatient:
        impatient.setattr(sandbox, "SECONDS_MAX", 1)
        sandbox._helper._start()  # The helper keeps this limit for its children.
    before = running_helper()

    with pytest.raises(NotMedia, match="too much memory or time"):
        look(_jpeg_of_many_scans())

    assert running_helper() == before


def test_a_helper_that_was_killed_is_replaced() -> None:
    first = helper()
    first.send_signal(signal.SIGKILL)
    until(lambda: not first.is_running() or first.status() == psutil.STATUS_ZOMBIE)

    assert look(FILES["jpg"]).extension == "jpg"
    assert helper() != first


def test_a_helper_that_sleeps_is_replaced_and_the_file_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    helper().send_signal(signal.SIGSTOP)

    with monkeypatch.context() as impatient:
        impatient.setattr(sandbox, "SECONDS_MAX", 1)
        with pytest.raises(SandboxUnavailable):
            look(FILES["jpg"])

    assert look(FILES["jpg"]).extension == "jpg"


def test_a_helper_that_cannot_be_started_is_our_own_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")

    with pytest.raises(SandboxUnavailable):
        look(FILES["png"])


def test_it_ends_with_us() -> None:
    found = helper()

    sandbox.close()

    assert not found.is_running()


def test_it_ends_when_we_are_killed() -> None:
    program = "from generations.files import sandbox; sandbox._helper._start(); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, cwd=sandbox._PROJECT) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        (found,) = psutil.Process(worker.pid).children()
        worker.kill()

    until(lambda: not found.is_running() or found.status() == psutil.STATUS_ZOMBIE)
    assert worker.returncode == -signal.SIGKILL


# --- Whoever looks is taken over ---

LIES = {
    "a page": {"kind": "image", "content_type": "text/html", "extension": "html", "width": 1, "height": 1},
    "a path": {"kind": "image", "content_type": "image/png", "extension": "../../png", "width": 1, "height": 1},
    "no number": {"kind": "image", "content_type": "image/png", "extension": "png", "width": "1", "height": 1},
    "no picture": {"kind": "image", "content_type": "image/png", "extension": "png", "width": -1, "height": 1},
    "something else": {"kind": "image"},
}


@pytest.mark.parametrize("lie", [*LIES.values(), [], 1, None], ids=str)
def test_a_child_that_lies_is_not_believed(lie: object) -> None:
    with pytest.raises(NotMedia):
        sandbox._read(str(lie).replace("'", '"').replace("None", "null").encode())


def test_what_it_may_say_is_what_we_store() -> None:
    assert set(TYPES) == set(FILES)


def test_our_secrets_are_not_in_its_environment() -> None:
    environment = Path(f"/proc/{helper().pid}/environ").read_bytes()

    assert b"SECRET" not in environment
    assert b"KEY" not in environment
