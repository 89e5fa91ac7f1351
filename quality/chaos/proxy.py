"""A TCP proxy that spoils what it carries. A program of its own, so that its work is nobody else's delay.

It is told how to behave by lines of JSON on its standard input, and ends when that closes:
`pass`, `delay` (seconds), `cut` (after so many bytes of an answer), `blackhole`, `reset`, `speak` (its own answer).
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHUNK_BYTES = 64 * 1024
# Those that existing connections must not survive, whether it begins or ends.
TEARING = ("cut", "blackhole", "reset", "speak")


class Proxy:
    """The handle: starts the program and tells it how to behave."""

    def __init__(self, port: int, target: int) -> None:
        command = [sys.executable, "-m", "quality.chaos.proxy", str(port), str(target)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, text=True, start_new_session=True)
        self.port = port

    def behave(self, mode: str, **details: Any) -> None:
        if self._process.stdin is None:
            raise RuntimeError("the proxy has no standard input")
        self._process.stdin.write(json.dumps({"mode": mode, **details}) + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()


class Carrier:
    """The program itself: carries every connection to its target, in today's manner."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._manner: dict[str, Any] = {"mode": "pass"}
        self._lines: set[asyncio.StreamWriter] = set()

    def behave(self, manner: dict[str, Any]) -> None:
        if {manner["mode"], self._manner["mode"]} & set(TEARING):
            for line in list(self._lines):
                _tear(line)
        self._manner = manner

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        manner = self._manner
        if manner["mode"] == "reset":
            _tear(writer)
        elif manner["mode"] == "speak":
            await _speak(reader, writer, manner["answer"])
        else:
            with suppress(OSError):
                await self._connect(reader, writer, manner)
            writer.close()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, manner: dict[str, Any]
    ) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = {writer, there_writer}
        self._lines |= pair
        answer_bytes_max = int(manner.get("bytes", sys.maxsize))
        try:
            await asyncio.gather(
                self._pump(reader, there_writer, sys.maxsize), self._pump(there_reader, writer, answer_bytes_max)
            )
        finally:
            self._lines -= pair
            there_writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_max: int) -> None:
        left = bytes_max
        while chunk := await reader.read(CHUNK_BYTES):
            if self._manner["mode"] == "delay":
                await asyncio.sleep(float(self._manner["seconds"]))
            if self._manner["mode"] == "blackhole":
                continue
            writer.write(chunk[:left])
            await writer.drain()
            left -= len(chunk)
            if left <= 0:
                _tear(writer)
                return
        with suppress(OSError):
            writer.write_eof()


async def _speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: str) -> None:
    with suppress(OSError):
        await reader.read(CHUNK_BYTES)
        writer.write(answer.encode())
        await writer.drain()
    writer.close()


def _tear(line: asyncio.StreamWriter) -> None:
    """TCP RST, not a polite FIN."""
    with suppress(OSError, AttributeError):
        line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.transport.abort()


async def _main(port: int, target: int) -> None:
    carrier = Carrier(target)
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    async with await asyncio.start_server(carrier.carry, "127.0.0.1", port):
        while line := await orders.readline():
            carrier.behave(json.loads(line))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
