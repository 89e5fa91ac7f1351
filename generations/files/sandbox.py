"""Inspects and sanitizes files from outside in a confined process, which a hostile file may crash.

The process has limited memory and time, and cannot open files or connections. A helper process with Pillow loaded forks
such a child (see `sandbox_process`): one for each file that a customer has sent or named, and for each large file. The
small outputs of fal come over the child's socket, and a child inspects up to CONTENTS_MAX of them: a fork takes as long
as the inspection of a small image. If a child was taken over by a file, the worst that it can do is to report a wrong
type, size or completeness for the others, and these are checked for plausibility.

The copier inspects outputs, ordering inspects input files, and uploads are sanitized here.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

from generations.errors import Unavailable
from generations.files import sandbox_process
from generations.files.media_types import MediaInfo, NotMedia, TooCostly

logger = logging.getLogger(__name__)

SECONDS_MAX = 10
# The helper loads Pillow while it starts.
START_SECONDS_MAX = 30
# Decoding keeps a processor busy. More children at a time would need more memory and finish no sooner.
MAX_CONCURRENT = 2
ANSWER_BYTES_MAX = 4096
_ROOT = Path(__file__).resolve().parents[2]


OVERLOADED = "The file could not be inspected, because this machine lacks memory, disk or time. Try again later."


class SandboxUnavailable(Unavailable, OSError):
    """The sandbox process does not start, does not answer, or lacks memory, disk or time.

    This says nothing about the file.
    """


def inspect(file: IO[bytes]) -> MediaInfo:
    """Identify a file by its bytes, and check that it is complete.

    Args:
        file: An open file of the operating system.

    Raises:
        NotMedia: It is of no known type, broken or incomplete.
        TooCostly: Inspecting it took too much memory or time.
        SandboxUnavailable: The file could not be inspected.
    """
    file.flush()
    with _slots:
        return _parse(_helper.request(file.fileno()))


def inspect_output(content: bytes) -> MediaInfo:
    """Do the same as `inspect` with a small output of fal, which is in memory. Raises the same errors."""
    with _slots:
        return _parse(_children.ask(content))


def sanitize(file: IO[bytes], image: IO[bytes], thumbnail: IO[bytes]) -> MediaInfo:
    """Encode an image again, upright and without metadata, and make a thumbnail of it.

    Args:
        file: The PNG, JPEG or WebP image, an open file of the operating system.
        image: Receives the new image. An open file of the operating system, like `thumbnail`.
        thumbnail: Receives a small WebP image.

    Returns:
        What the new image is.

    Raises:
        NotMedia: The file is not such an image.
        TooCostly: Sanitizing it took too much memory or time, or the disk is full.
        SandboxUnavailable: The file could not be sanitized.
    """
    file.flush()
    with _slots:
        return _parse(_helper.request(file.fileno(), image.fileno(), thumbnail.fileno()))


def close() -> None:
    """End the helper process. The next file starts it again."""
    _children.close()
    _helper.close()


def _parse(answer: bytes) -> MediaInfo:
    """Read the answer of a child. A file may have taken the child over, so only plausible answers are accepted."""
    if not answer:
        raise TooCostly("inspecting it took too much memory or time")
    try:
        fields = json.loads(answer)
        if "refused" in fields:
            message, detail = str(fields["refused"])[:200], str(fields.get("detail", ""))[:200]
            logger.info("a file was refused", extra={"reason": message, "detail": detail})
            raise NotMedia(message, detail=detail)
        found = MediaInfo(**fields)
    except (ValueError, TypeError) as error:
        raise NotMedia("inspecting it failed") from error
    if not found.is_plausible:
        raise NotMedia("inspecting it failed")
    return found


class _Helper:
    """The helper process, and the socket on which it receives files. Started when the first file comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def request(self, file: int, *outputs: int) -> bytes:
        """Have a child inspect a file, or sanitize it into `outputs`. The answer is empty if the child died."""
        with self.start_child(file, *outputs) as child:
            return self.receive(child)

    def start_child(self, *files: int) -> socket.socket:
        """Start a child that works on these files, or on those that are sent over the returned socket."""
        own_end, child_end = socket.socketpair()
        with child_end:
            try:
                self._send(child_end.fileno(), *files)
            except BaseException:
                own_end.close()
                raise
        # The child's own alarm comes first.
        own_end.settimeout(SECONDS_MAX * 1.5)
        return own_end

    def receive(self, child: socket.socket) -> bytes:
        """Return the answer of a child. It is empty if the child died."""
        try:
            return child.recv(ANSWER_BYTES_MAX)
        except ConnectionError:
            return b""
        except TimeoutError:
            # The child's alarm does not work, or the helper is stopped. Neither can be trusted any more.
            self.close()
            raise SandboxUnavailable("The sandbox process does not answer.") from None

    def close(self) -> None:
        with self._lock:
            self._end()

    def _send(self, *descriptors: int) -> None:
        with self._lock:
            # The second attempt is for a helper that was killed since the last file.
            for _ in range(2):
                try:
                    socket.send_fds(self._requests or self._start(), [b"."], descriptors)
                    return
                except OSError:
                    self._end()
        raise SandboxUnavailable("The sandbox process cannot be started.")

    def _start(self) -> socket.socket:
        requests, helper_end = socket.socketpair()
        with helper_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", sandbox_process.__name__, str(helper_end.fileno()), str(SECONDS_MAX)],
                pass_fds=[helper_end.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=_ROOT,
                env={},  # It needs none of Limn's keys and passwords.
                start_new_session=True,
            )
        self._requests = requests
        requests.settimeout(START_SECONDS_MAX)
        if not requests.recv(1):
            raise ConnectionError("the helper ended while it was starting")
        return requests

    def _end(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._process is not None:
            # The children belong to the process group of the helper.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._requests = self._process = None


class _Children:
    """The children that inspect outputs, while they have nothing to do."""

    def __init__(self, helper: _Helper) -> None:
        self._helper = helper
        self._idle: list[tuple[socket.socket, int]] = []
        """Their sockets, and how many more files each may inspect."""

    def ask(self, content: bytes) -> bytes:
        """Have a child inspect this file. The answer is empty if a new child died of it."""
        try:
            child, rest = self._idle.pop()
        except IndexError:
            return self._ask(self._helper.start_child(), sandbox_process.CONTENTS_MAX, content)
        # A child that dies now may have died of an earlier file. Only a new one tells about this file.
        return self._ask(child, rest, content) or self._ask(
            self._helper.start_child(), sandbox_process.CONTENTS_MAX, content
        )

    def close(self) -> None:
        """End them."""
        while self._idle:
            self._idle.pop()[0].close()

    def _ask(self, child: socket.socket, rest: int, content: bytes) -> bytes:
        answer = b""
        try:
            with suppress(ConnectionError):
                child.sendall(len(content).to_bytes(sandbox_process.LENGTH_BYTES, "big"))
                child.sendall(content)
                answer = self._helper.receive(child)
        finally:
            if answer and rest > 1:
                self._idle.append((child, rest - 1))
            else:
                child.close()
        return answer


_helper = _Helper()
_children = _Children(_helper)
_slots = threading.BoundedSemaphore(MAX_CONCURRENT)
atexit.register(close)
