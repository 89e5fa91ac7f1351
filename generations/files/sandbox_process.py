"""The program of the sandbox: it forks children that inspect files, or sanitize one.

`sandbox` starts it with `python -m` and passes it a socket. Each request on the socket is one byte with open file
descriptors: a socket for the answer, the file and, if the file is to be sanitized, the two files to write. Without a
file, the child reads files from its socket, each after its length in eight bytes, and inspects one after the other. An
answer is a JSON object: the fields of `MediaInfo`, or `refused` and `detail`. There is none if the child died.

This process itself never reads a file, so whatever a file does to a decoder ends with the child.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NoReturn

from PIL import Image

from generations.files.inspection import inspect
from generations.files.media_types import MediaInfo, NotMedia
from generations.files.process_limits import limit_process
from generations.files.sanitizing import sanitize

READY = b"."
DESCRIPTORS_MAX = 4
LENGTH_BYTES = 8
# How many files a child inspects that come over its socket.
CONTENTS_MAX = 50
# An image of 100 megapixels takes 430 MB as PNG and 730 MB as progressive JPEG. A WebP image takes 16 bytes per pixel,
# so that at most 80 megapixels fit.
MEMORY_BYTES_MAX = 1280 * 1024**2
# An uploaded image has at most 50 MB. Encoded again it may grow, because the PNG compression is set to be fast.
SANITIZED_BYTES_MAX = 128 * 1024**2


def serve(requests: socket.socket, seconds_max: int) -> None:
    """Fork for each request until the other end of the socket is closed, which happens when its process ends.

    Args:
        requests: The socket from which requests come.
        seconds_max: The time that a child has for one file.
    """
    # Loads Pillow's decoders, since a child can open no module any more.
    Image.init()
    # The children share the memory of this process until one of them writes to it, which garbage collection would do.
    gc.disable()
    gc.freeze()
    # If the parent was killed meanwhile, the loop below ends at once.
    with suppress(BrokenPipeError):
        requests.send(READY)
    while True:
        try:
            message, descriptors, *_ = socket.recv_fds(requests, 1, DESCRIPTORS_MAX)
        except ConnectionResetError:
            # The parent was killed before it had read READY.
            return
        if not message:
            return
        if os.fork() == 0:
            _work(descriptors, seconds_max)
        for descriptor in descriptors:
            os.close(descriptor)
        # Those that have ended meanwhile. Nothing waits for the others: their answer is all that counts.
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _work(descriptors: list[int], seconds_max: int) -> NoReturn:
    """Inspect or sanitize files, answer and exit. Runs in the child."""
    answers, *files = descriptors
    try:
        # Should the memory of the machine run out nevertheless, the kernel ends this process first.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        outputs = files[1:]
        limit_process(
            memory_bytes=MEMORY_BYTES_MAX,
            cpu_seconds=seconds_max * (1 if files else CONTENTS_MAX),
            file_bytes=SANITIZED_BYTES_MAX if outputs else 0,
            open_files=0,
        )
        if not files:
            _inspect_contents(socket.socket(fileno=answers), seconds_max)
        elif outputs:
            with open(files[0], "rb") as file, open(outputs[0], "wb") as image, open(outputs[1], "wb") as thumbnail:
                # `sanitize` has flushed both files. Of a refused one more than the limit may be left to write.
                os.write(answers, _answer(lambda: sanitize(file, image, thumbnail), seconds_max))
        else:
            with open(files[0], "rb") as file:
                os.write(answers, _answer(lambda: inspect(file, os.fstat(files[0]).st_size), seconds_max))
    except BaseException:
        # No traceback and no exit handlers: the fork shares them with the parent.
        os._exit(1)
    os._exit(0)


def _inspect_contents(connection: socket.socket, seconds_max: int) -> None:
    """Inspect the files that come over the connection until it is closed."""
    with connection, connection.makefile("rb") as contents:
        while length := contents.read(LENGTH_BYTES):
            content = contents.read(int.from_bytes(length, "big"))
            connection.sendall(_answer(partial(inspect, io.BytesIO(content), len(content)), seconds_max))


def _answer(work: Callable[[], MediaInfo], seconds_max: int) -> bytes:
    signal.alarm(seconds_max)
    try:
        fields = asdict(work())
    except NotMedia as error:
        fields = {"refused": str(error)[:200], "detail": error.detail}
    signal.alarm(0)
    return json.dumps(fields).encode()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
