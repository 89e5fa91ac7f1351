"""Looks at outsiders' files in a process that may die of it: bounded in memory and time, unable to open anything.

A helper that has Pillow loaded waits for files and forks a child for each. It never looks into one itself, so nothing
that a file does outlives the child. (Measured on two busy cores: 18 ms a picture, where our own process takes 4 and a
new interpreter 107.)
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, NoReturn

from PIL import Image

from generations.errors import Unavailable
from generations.files.inspection import Inspected, NotMedia, inspect, is_known
from generations.files.sanitizing import clean

logger = logging.getLogger(__name__)

# A picture of 100 megapixels takes 430 MB as PNG and 730 MB as progressive JPEG; a WebP takes 16 bytes a pixel,
# which leaves it 80 megapixels.
MEMORY_BYTES_MAX = 1280 * 1024**2
SECONDS_MAX = 10
READY_SECONDS_MAX = 30
# Decoding is work for a processor, not waiting: more at once would only take more memory.
AT_ONCE_MAX = 2
ANSWER_BYTES_MAX = 4096
# What a picture may become when it is written anew. Twice what comes in: PNG is packed quickly, not tightly.
CLEANED_BYTES_MAX = 128 * 1024**2
# What the helper is asked for, by one byte; and with how many open files.
_LOOK, _CLEAN = b".", b"c"
_PROJECT = Path(__file__).resolve().parents[2]


class SandboxUnavailable(Unavailable, OSError):
    """The sandbox process does not start, or does not answer."""


def probe(file: IO[bytes]) -> Inspected:
    """What the file is. Raises NotMedia, also for a file that kills who looks at it; ProberAway is our own trouble."""
    file.flush()
    with _turns:
        return _read(_helper.look(file.fileno()))


def cleaned(file: IO[bytes], image: IO[bytes], thumbnail: IO[bytes]) -> Inspected:
    """Write the picture in `file` anew into `image` and small into `thumbnail`: upright, and without what its file told
    beside. What it is. Raises as `probe` does."""
    file.flush()
    with _turns:
        return _read(_helper.look(file.fileno(), image.fileno(), thumbnail.fileno()))


def close() -> None:
    """End the helper. It is started again when the next file comes."""
    _helper.close()


def _read(answer: bytes) -> Inspected:
    """Believes as little as can be: whoever took the child over may write what he likes."""
    try:
        said = json.loads(answer or b'{"refused": "looking at it took too much memory or time"}')
        if "refused" in said:
            raise _refused(str(said["refused"])[:200], detail=str(said.get("detail", ""))[:200])
        found = Inspected(**said)
    except (ValueError, TypeError) as error:
        raise NotMedia("looking at it went wrong") from error
    if not is_known(found):
        raise NotMedia("looking at it went wrong")
    return found


def _refused(message: str, *, detail: str) -> NotMedia:
    logger.info("a file was refused", extra={"why": message, "detail": detail})
    return NotMedia(message, detail=detail)


class _Helper:
    """The process that forks, and the line on which it gets its files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def look(self, file: int, *written: int) -> bytes:
        """What a child says about the open file; nothing when it died. Into those `written` it writes it anew."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(_CLEAN if written else _LOOK, file, theirs.fileno(), *written)
            ours.settimeout(SECONDS_MAX * 1.5)
            try:
                return ours.recv(ANSWER_BYTES_MAX)
            except ConnectionError:
                return b""
            except TimeoutError:
                # The alarm of the child is broken, or the helper sleeps: neither is to be trusted any more.
                self.close()
                raise SandboxUnavailable("the prober does not answer") from None

    def close(self) -> None:
        with self._lock:
            self._end()

    def _hand_over(self, what: bytes, *descriptors: int) -> None:
        with self._lock:
            for _ in range(2):
                try:
                    socket.send_fds(self._line or self._start(), [what], descriptors)
                    return
                except OSError:
                    self._end()  # It was killed. A new one takes its place.
        raise SandboxUnavailable("the prober cannot be started")

    def _start(self) -> socket.socket:
        line, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "generations.files.sandbox", str(theirs.fileno()), str(SECONDS_MAX)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=_PROJECT,
                env={},  # Our keys and passwords are not for it.
                start_new_session=True,
            )
        self._line = line
        line.settimeout(READY_SECONDS_MAX)
        if not line.recv(1):
            raise ConnectionError("it ended while it was starting")
        return line

    def _end(self) -> None:
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._line = self._process = None


_helper = _Helper()
_turns = threading.BoundedSemaphore(AT_ONCE_MAX)
atexit.register(close)


# --- In the helper ------------------------------------------------------------------------------------------------


def _serve(line: socket.socket, seconds_max: int) -> None:
    """Fork for each file, until whoever started us is gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for the children: their answer is all that counts.
    Image.init()
    with suppress(BrokenPipeError):  # Whoever started us was killed meanwhile; then there is nothing to read.
        line.send(b".")
    while True:
        message, descriptors, *_ = socket.recv_fds(line, 1, 4)
        if not message:
            return
        file, reply, *written = descriptors
        if os.fork() == 0:
            _look(file, reply, written, seconds_max)
        for descriptor in descriptors:
            os.close(descriptor)


def _look(file: int, reply: int, written: list[int], seconds_max: int) -> NoReturn:
    try:
        _confine(seconds_max, bytes_max=CLEANED_BYTES_MAX if written else 0)
        with open(file, "rb") as opened:
            said = asdict(_cleaned(opened, *written) if written else inspect(opened, os.fstat(file).st_size))
    except NotMedia as error:
        said = {"refused": str(error)[:200], "detail": error.detail}
    except BaseException:
        os._exit(1)
    os.write(reply, json.dumps(said).encode())
    os._exit(0)


def _cleaned(file: IO[bytes], image: int, thumbnail: int) -> Inspected:
    with open(image, "wb") as clean_image, open(thumbnail, "wb") as small:
        return clean(file, clean_image, small)


def _confine(seconds_max: int, *, bytes_max: int) -> None:
    with suppress(OSError):
        # Should memory run out nevertheless, this process goes first.
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.alarm(seconds_max)
    for what, limit in {
        resource.RLIMIT_AS: MEMORY_BYTES_MAX,
        resource.RLIMIT_CPU: seconds_max,
        resource.RLIMIT_FSIZE: bytes_max,
        resource.RLIMIT_CORE: 0,
        # What is open stays open, and nothing is opened any more: no file, no connection.
        resource.RLIMIT_NOFILE: 0,
    }.items():
        resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
