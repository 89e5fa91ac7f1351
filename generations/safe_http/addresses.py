"""Which network addresses we never dial. `ipaddress.is_global` is no help: on Python 3.11 it calls NAT64 and 6to4
of private addresses, multicast and site-local ones global (failure-modes.md, finding 6)."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

# IANA's special-purpose registries, and what smokescreen and svix deny beside them. An IPv6 address is dialled
# only within 2000::/3, the space that is given out; the list names the exceptions inside it.
_DENIED_IPV4 = [
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number; inside Azure, the host's own service for its machines
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
_GIVEN_OUT_IPV6 = IPv6Network("2000::/3")
_DENIED_IPV6 = [
    IPv6Network(block) for block in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
]


def is_public(address: str) -> bool:
    """Whether it belongs to the internet at large: nothing of ours, nothing of a neighbour's."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _DENIED_IPV4)
    return ip in _GIVEN_OUT_IPV6 and not any(ip in block for block in _DENIED_IPV6)


def ends_in_a_number(host: str) -> bool:
    """127.1, 2130706433 and 0x7f000001 are all this very machine, and no name's last label is a number."""
    return re.fullmatch(r"[0-9]+|0x[0-9a-f]*", host.rpartition(".")[2]) is not None


def is_address(host: str) -> bool:
    """Whether `host` is an IP address and not a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an IP address, is this very machine."""
    return host == "localhost" or (is_address(host) and ip_address(host.partition("%")[0]).is_loopback)
