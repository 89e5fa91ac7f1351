"""The errors of outbound HTTP. Their messages never repeat a URL, which may hold a signature.

FetchError
├── AddressRefused   the text of the URL is not allowed; final
│   └── Redirected   the server answered with a redirect, which the client does not follow
├── HostRefused      the host is not in the list of the caller, or its name resolves to a private address
├── TooLarge         the file is larger than the caller allows; final
├── Missing          the server answered 403, 404 or 410: the file is not there, or no longer
└── TryLater         anything else: no connection, a time-out, another status, a transfer that broke off
    └── Unproven     the server does not tell how long a file is that ended with its connection
"""

from __future__ import annotations


class FetchError(Exception):
    """The request did not succeed. The message says why."""


class AddressRefused(FetchError):
    """Limn may not connect to this address, whatever the settings and DNS say."""


class Redirected(AddressRefused):
    """The server answered with a redirect.

    Attributes:
        location: The `Location` header as the server wrote it; it may be relative, malformed or empty.
    """

    def __init__(self, status: int, location: str) -> None:
        super().__init__(f"{status}: redirects are not followed")
        self.location = location


class HostRefused(FetchError):
    """No request was sent to this host. A wrong setting, or a wrong answer of DNS, may be the reason."""


class TooLarge(FetchError):
    """The file has more bytes than allowed."""


class Missing(FetchError):
    """The file is not there, or no longer."""


class TryLater(FetchError):
    """The transfer failed, and a later attempt may succeed.

    Attributes:
        retry_after_seconds: What the server asked for in `Retry-After`, or None.
    """

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Unproven(TryLater):
    """The transfer ended because its connection was closed, and the server does not tell how long the file is."""
