"""A host that resets connections at once."""

from __future__ import annotations

import errno
import io
import socket

import pytest

from generations.safe_http import client as http_client
from tests.services.waiting import HANG_SECONDS

pytestmark = pytest.mark.once


def test_a_reset_while_connecting_is_tried_later_and_no_stumble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the soak (seed 1): urllib3 overlooked the reset and asked a socket that was not there."""

    def reset(*_: object, **__: object) -> socket.socket:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(socket, "create_connection", reset)

    with pytest.raises(http_client.TryLater, match="Connection reset by peer"):
        http_client.fetch(
            "http://127.0.0.1:9/file.png",
            io.BytesIO(),
            hosts=["127.0.0.1:9"],
            bytes_max=100,
            seconds_max=HANG_SECONDS,
        )
