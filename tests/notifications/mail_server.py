"""An SMTP server on a loopback address that accepts e-mails, refuses them, or hangs up before it confirms one."""

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
        super().__init__(("127.0.0.1", 0), _Session)
        self.port = int(self.server_address[1])
        self.accepted: list[EmailMessage] = []
        self.refusals = 0
        """How many of the next e-mails it refuses."""
        self.hangs_up = False
        """Whether it accepts an e-mail and then closes the connection instead of confirming it."""


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 hello\r\n")
        while command := self.rfile.readline()[:4].upper().decode():
            if command == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            if command == "DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                self.server.accepted.append(message_from_bytes(b"".join(lines), policy=policy.default))
                if self.server.hangs_up:
                    return
                self.wfile.write(b"250 accepted\r\n")
            elif command == "RCPT" and self.server.refusals:
                self.server.refusals -= 1
                self.wfile.write(b"450 not now\r\n")
            else:
                self.wfile.write(REPLIES[command] + b"\r\n")


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Runs a mail server within the block."""
    server = MailServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
