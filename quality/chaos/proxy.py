"""A TCP proxy that injects network faults. It runs as a program of its own, so that its work delays nothing else.

The environment places one in front of PostgreSQL, of S3 and of the simulator. The proxy reads its mode as lines of
JSON from its standard input, and ends when that is closed. The modes are `pass`, `delay` (`seconds` before each
chunk), `cut` (reset the connection after `bytes` of a response), `blackhole` (drop all data), `reset` (reset each new
connection) and `respond` (answer with the given `response`).
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
# Existing connections are reset when one of these modes begins or ends.
RESETTING_MODES = {"cut", "blackhole", "reset", "respond"}


class Proxy:
    """Starts the proxy program and sets its mode."""

    def __init__(self, port: int, target: int) -> None:
        command = [sys.executable, "-m", "quality.chaos.proxy", str(port), str(target)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, text=True, start_new_session=True)
        self.port = port

    def set_mode(self, mode: str, **details: Any) -> None:
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


class ProxyServer:
    """The program: forwards each connection to its target, as the current mode says."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: dict[str, Any] = {"mode": "pass"}
        self._writers: set[asyncio.StreamWriter] = set()

    def set_mode(self, mode: dict[str, Any]) -> None:
        if {mode["mode"], self._mode["mode"]} & RESETTING_MODES:
            for writer in list(self._writers):
                _reset(writer)
        self._mode = mode

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection of a client."""
        mode = self._mode
        if mode["mode"] == "reset":
            _reset(writer)
            return
        with suppress(OSError):
            if mode["mode"] == "respond":
                # The client has sent its request, or the start of it, before it reads a response.
                await reader.read(CHUNK_BYTES)
                writer.write(mode["response"].encode())
                await writer.drain()
            else:
                target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target)
                # Remembered, so that a change of the mode can reset both ends.
                pair = {writer, target_writer}
                self._writers |= pair
                response_bytes_max = int(mode.get("bytes", sys.maxsize))
                try:
                    await asyncio.gather(
                        self._copy(reader, target_writer, sys.maxsize),
                        self._copy(target_reader, writer, response_bytes_max),
                    )
                finally:
                    self._writers -= pair
                    target_writer.close()
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bytes_max: int) -> None:
        remaining = bytes_max
        while chunk := await reader.read(CHUNK_BYTES):
            # The current mode, not the one at the start of the connection: a connection of a pool lives long.
            if self._mode["mode"] == "delay":
                await asyncio.sleep(float(self._mode["seconds"]))
            if self._mode["mode"] == "blackhole":
                # Both ends believe that the other one is slow.
                continue
            writer.write(chunk[:remaining])
            await writer.drain()
            remaining -= len(chunk)
            if remaining <= 0:
                _reset(writer)
                return
        # One side has ended its half of the connection; the other half may go on.
        with suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close the connection with a TCP RST instead of a FIN."""
    with suppress(OSError, AttributeError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def main(port: int, target: int) -> None:
    server = ProxyServer(target)
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with await asyncio.start_server(server.serve, "127.0.0.1", port):
        while line := await commands.readline():
            server.set_mode(json.loads(line))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
