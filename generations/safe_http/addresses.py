"""Decides which IP addresses Limn may connect to: those of the public internet.

The HTTP client checks every address that a host name resolves to before it connects. `ipaddress.is_global` is no
substitute: on Python 3.11 it reports NAT64 and 6to4 forms of private addresses, multicast and site-local addresses as
global (finding 6 of docs/failure-modes.md).
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# The special-purpose registries of IANA, and the further blocks that the proxies of Stripe (smokescreen) and Svix deny.
_DENIED_IPV4 = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # A public address, but inside Azure it is the host's service for its virtual machines.
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
# The only IPv6 space that IANA has allocated for unicast. Everything outside of it is denied, so that this list names
# only the exceptions inside it.
_ALLOCATED_IPV6 = IPv6Network("2000::/3")
_DENIED_IPV6 = [
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


def is_public(address: str) -> bool:
    """Return whether an IP address, with or without a zone (`fe80::1%eth0`), belongs to the public internet."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        # The kernel connects to the IPv4 address, so that is the one to judge.
        ip = ip.ipv4_mapped
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _DENIED_IPV4)
    return ip in _ALLOCATED_IPV6 and not any(ip in block for block in _DENIED_IPV6)


def ends_in_number(host: str) -> bool:
    """Return whether the last label of `host` is a number, so that a resolver may read the host as an IPv4 address.

    `127.1`, `2130706433` and `0x7f000001` are all 127.0.0.1. No top-level domain is a number.
    """
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]) is not None


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether `host` is `localhost` or a loopback address. Other names are not resolved."""
    return host == "localhost" or (is_address(host) and ip_address(host.partition("%")[0]).is_loopback)
