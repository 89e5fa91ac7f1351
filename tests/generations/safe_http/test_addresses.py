"""Which IP addresses are public. Finding 6 of docs/failure-modes.md."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generations.safe_http.addresses import is_loopback, is_public

pytestmark = pytest.mark.once

# The special-purpose registries of IANA: the first and last address of each block, addresses of metadata services, and
# IPv6 forms of private IPv4 addresses.
NOT_PUBLIC = """
0.0.0.0 0.255.255.255                       this network
10.0.0.0 10.255.255.255                     private
100.64.0.0 100.127.255.255 100.100.100.200  shared; metadata of Alibaba
127.0.0.1 127.0.0.0 127.255.255.255         loopback
168.63.129.16                               wire server of Azure
169.254.0.0 169.254.169.254 169.254.255.255 link-local; metadata
172.16.0.0 172.31.255.255                   private
192.0.0.0 192.0.0.8 192.0.0.192 192.0.0.255 protocol assignments; metadata of Oracle
192.0.2.0 198.51.100.7 203.0.113.255        documentation
192.31.196.1 192.52.193.1 192.175.48.1      AS112, AMT
192.88.99.1                                 6to4 relays
192.168.0.0 192.168.255.255                 private
198.18.0.0 198.19.255.255                   benchmarks
224.0.0.1 239.255.255.255                   multicast
240.0.0.1 255.255.255.255                   reserved, broadcast
:: ::1 ::127.0.0.1 ::10.0.0.1               unspecified, loopback, compatible
::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:0 mapped
::ffff:0:127.0.0.1                          translated
64:ff9b::a00:1 64:ff9b::7f00:1 64:ff9b:1::a00:1 NAT64 of private addresses
64:ff9b::808:808                            NAT64, even of public addresses
100::1                                      discard-only
2001::1 2001::7f00:1 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 Teredo, benchmarks, ORCHID
2001:db8::1 3fff::1 3fff:fff:ffff::1        documentation
2002:a00:1::1 2002:7f00:1:: 2002:808:808::1 6to4
2620:4f:8000::1                             AS112
5f00::1                                     segment routing
fc00::1 fd00:ec2::254 fdff:ffff::1          unique local; metadata of Amazon
fe80::1 fe80::1%eth0 febf::1                link-local
fec0::1 feff::1                             site-local
ff02::1 ff0e::1                             multicast
4000::1 8000::1 e000::1                     not allocated
"""
PUBLIC = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0
192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 151.101.1.69
2001:200::1 2001:4860:4860::8888 2003::1 2400:cb00::1 2606:4700::1111 2a00:1450:4001::1 3ffe:ffff::1 ::ffff:8.8.8.8
"""


def addresses_in(text: str) -> list[str]:
    """The addresses of a table, without its comments."""
    return [word for word in text.split() if word[0] in "0123456789:f" and ("." in word or ":" in word)]


def test_special_purpose_addresses_are_not_public() -> None:
    assert [address for address in addresses_in(NOT_PUBLIC) if is_public(address)] == []


def test_addresses_next_to_special_blocks_are_public() -> None:
    assert [address for address in addresses_in(PUBLIC) if not is_public(address)] == []


@given(st.ip_addresses())
def test_no_address_that_python_calls_private_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Python calls some private addresses global (finding 6), but never a public one private."""
    assert not (is_public(str(address)) and (address.is_private or address.is_multicast))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_address_is_recognised(address: ipaddress.IPv4Address) -> None:
    nat64 = ipaddress.IPv6Address(0x64_FF9B << 96 | int(address))
    six_to_four = ipaddress.IPv6Address(0x2002 << 112 | int(address) << 80)

    assert is_public(f"::ffff:{address}") == is_public(str(address))
    assert not is_public(str(nat64))
    assert not is_public(str(six_to_four))


def test_loopback_is_all_of_127_and_one_ipv6_address() -> None:
    addresses = ["127.0.0.1", "127.9.9.9", "::1", "localhost", "10.0.0.1", "::2", "localhost.example.com", ""]

    assert [address for address in addresses if is_loopback(address)] == ["127.0.0.1", "127.9.9.9", "::1", "localhost"]
