"""Free TCP ports of this machine."""

from __future__ import annotations

import random
import socket

# Below 32768, where Linux takes the local ports of outgoing connections from: a port that is free now, or is closed
# for a restart, is not taken by a client before its server listens.
LOWEST, HIGHEST = 12_000, 32_000
_given: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server can listen on this port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A server that has just ended leaves connections in TIME_WAIT, which do not prevent the next one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(*, and_above: int = 0) -> int:
    """Return a port to listen on, never the same twice in a process.

    With `and_above`, port + and_above is free as well.
    """
    while True:
        port = random.randint(LOWEST, HIGHEST - and_above)  # noqa: S311  (no secret)
        ports = {port, port + and_above}
        if not ports & _given and all(map(is_free, ports)):
            _given.update(ports)
            return port
