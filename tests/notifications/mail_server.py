"""A mail server on loopback that takes mail, refuses it, or hangs up in the middle, as it is bidden."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage

REPLIES = {"EHLO": b"250 hello", "MAIL": b"250 ok", "RCPT": b"250 ok", "RSET": b"250 ok"}


class MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Talk)
        self.port = int(self.server_address[1])
        self.taken: list[EmailMessage] = []
        self.refuses = 0
        """How many mails it refuses for now."""
        self.hangs_up = False
        """Whether it takes a mail and gives no receipt."""


class _Talk(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 hello\r\n")
        while word := self.rfile.readline()[:4].upper().decode():
            if word == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            if word == "DATA" and not self._take():
                return
            if word != "DATA":
                self.wfile.write(self._reply(word) + b"\r\n")

    def _reply(self, word: str) -> bytes:
        if word == "RCPT" and self.server.refuses:
            self.server.refuses -= 1
            return b"450 not now"
        return REPLIES[word]

    def _take(self) -> bool:
        self.wfile.write(b"354 go on\r\n")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line)
        self.server.taken.append(message_from_bytes(b"".join(lines), policy=policy.default))
        if not self.server.hangs_up:
            self.wfile.write(b"250 taken\r\n")
        return not self.server.hangs_up


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    try:
        yield server
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
