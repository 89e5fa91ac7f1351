"""The program of the sandbox: it forks a child for each file, and the child inspects or sanitizes that file.

`sandbox` starts it with `python -m` and passes it a socket. Each request on the socket is one byte with open file
descriptors: the file, a socket for the answer and, if the file is to be sanitized, the two files to write. The answer
is a JSON object: the fields of `MediaInfo`, or `refused` and `detail`. There is none if the child died.

This process itself never reads a file, so whatever a file does to a decoder ends with the child.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from PIL import Image

from generations.files.inspection import inspect
from generations.files.media_types import NotMedia
from generations.files.process_limits import limit_process
from generations.files.sanitizing import sanitize

READY = b"."
DESCRIPTORS_MAX = 4
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
    # The children are not waited for: their answer is all that counts.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Loads Pillow's decoders, since a child can open no module any more.
    Image.init()
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
            _handle(descriptors, seconds_max)
        for descriptor in descriptors:
            os.close(descriptor)


def _handle(descriptors: list[int], seconds_max: int) -> NoReturn:
    """Inspect or sanitize a file, answer and exit. Runs in the child."""
    file, answer, *outputs = descriptors
    try:
        # Should the memory of the machine run out nevertheless, the kernel ends this process first.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        signal.alarm(seconds_max)
        limit_process(
            memory_bytes=MEMORY_BYTES_MAX,
            cpu_seconds=seconds_max,
            file_bytes=SANITIZED_BYTES_MAX if outputs else 0,
            open_files=0,
        )
        with open(file, "rb") as source:
            if outputs:
                with open(outputs[0], "wb") as image, open(outputs[1], "wb") as thumbnail:
                    fields = asdict(sanitize(source, image, thumbnail))
            else:
                fields = asdict(inspect(source, os.fstat(file).st_size))
    except NotMedia as error:
        fields = {"refused": str(error)[:200], "detail": error.detail}
    except BaseException:
        # No traceback and no exit handlers: the fork shares them with the parent.
        os._exit(1)
    os.write(answer, json.dumps(fields).encode())
    os._exit(0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
