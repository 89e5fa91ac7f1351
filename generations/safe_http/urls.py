"""Reads URLs from outside into one unambiguous form, and decides which of them Limn may request.

The HTTP client calls `permit` before it fetches a file and `parse_recipient` before it posts. Both look at the URL
alone. The client checks the addresses that a host name resolves to when it connects.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from generations.safe_http.addresses import ends_in_number, is_address, is_loopback, is_public
from generations.safe_http.errors import AddressRefused, HostRefused

# The ports that a host pattern without a port covers.
USUAL_PORTS = (80, 443)
URL_CHARACTERS_MAX = 4096
# The limit of DNS. Resolvers fail on longer names in ways of their own.
HOST_CHARACTERS_MAX = 253
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, kw_only=True)
class Target:
    """A parsed URL. The client requests `url`, built from the parts: no two parsers can read it differently."""

    scheme: str
    host: str
    port: int
    path: str
    """With the query string."""

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def parse(url: str) -> Target:
    """Parse an absolute http or https URL.

    Raises:
        AddressRefused: The URL is malformed, or contains what only an attack needs: a user name, white space,
            backslashes, letters outside of ASCII, a port in an unusual spelling.
    """
    if len(url) > URL_CHARACTERS_MAX or not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", url):
        raise AddressRefused("the URL is too long, or contains characters that no URL needs")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("the URL cannot be parsed") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused("the URL is not an absolute http or https URL")
    host = parts.hostname
    if len(host) > HOST_CHARACTERS_MAX or not (_HOST_NAME.fullmatch(host) or is_address(host)):
        raise AddressRefused("the host name is malformed")
    # A comparison with the one regular spelling refuses user names, stray brackets, empty ports and leading zeros.
    bare_host = f"[{host}]" if ":" in host else host
    if port == 0 or parts.netloc.lower() != (bare_host if port is None else f"{bare_host}:{port}"):
        raise AddressRefused("the URL contains more than a host and a port before its path")
    query = f"?{parts.query}" if parts.query else ""
    default_port = 443 if parts.scheme == "https" else 80
    return Target(scheme=parts.scheme, host=host, port=port or default_port, path=(parts.path or "/") + query)


def permit(url: str, hosts: Sequence[str]) -> tuple[Target, bool]:
    """Parse the URL of a file and check it against the patterns of hosts that files may come from.

    Returns:
        The target, and whether it may have a private address. It may if the matching pattern names a single host by its
        address or with its port: then the operator meant exactly that host.

    Raises:
        AddressRefused: The URL is plain http and not of a loopback address. Or no pattern matches, and the URL names an
            address or an unusual port, which the files of a public server do not have.
        HostRefused: No pattern matches the host name.
    """
    target = parse(url)
    if target.scheme == "http" and not is_loopback(target.host):
        raise AddressRefused("plain http is accepted from loopback addresses only")
    pattern = next((pattern for pattern in hosts if matches(pattern, target)), None)
    if pattern is None:
        is_name = not (is_loopback(target.host) or is_address(target.host) or ends_in_number(target.host))
        refusal = HostRefused if is_name and target.port in USUAL_PORTS else AddressRefused
        raise refusal(f"files may not come from {target.host}:{target.port}")
    name, _, port = pattern.partition(":")
    names_single_host = not name.startswith("*") and (bool(port) or is_address(name) or name == "localhost")
    return target, names_single_host


def matches(pattern: str, target: Target) -> bool:
    """Return whether a host pattern covers the target.

    Args:
        pattern: `fal.media`, `*.fal.media` for its subdomains, or `*`; each may be followed by `:port`. Without a port
            it covers ports 80 and 443.
    """
    name, _, port = pattern.lower().partition(":")
    if port and int(port) != target.port:
        return False
    if not port and target.port not in USUAL_PORTS:
        return False
    if name == "*":
        return True
    if name.startswith("*."):
        return target.host.endswith(name[1:])
    return target.host == name


def parse_recipient(url: str, *, loopback_allowed: bool) -> Target:
    """Parse the URL of a webhook.

    Raises:
        AddressRefused: The URL is not of a public https address. With `loopback_allowed`, http and https URLs of
            loopback addresses are accepted as well.
    """
    target = parse(url)
    if is_loopback(target.host):
        if not loopback_allowed:
            raise AddressRefused("loopback addresses are not allowed")
        return target
    if target.scheme != "https":
        raise AddressRefused("the URL does not begin with https")
    if is_address(target.host) and not is_public(target.host):
        raise AddressRefused("the address is not public")
    if not is_address(target.host) and ends_in_number(target.host):
        raise AddressRefused("the host is an IP address in an unusual notation")
    return target
