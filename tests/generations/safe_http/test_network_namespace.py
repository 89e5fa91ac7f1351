"""No private address is contacted, even where private addresses exist and listen. C16, C17; finding 12."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.generations.safe_http import network_namespace
from tests.helpers.source import ROOT
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

UNSHARE = ["unshare", "--net", "--mount"]
NAMES = [f"https://v{number}.fal.media/x" for number in range(1, 6)]
ADDRESSES = [
    *("http://10.0.0.1/x", "https://10.0.0.1/x", "https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/x"),
    *("https://192.168.7.7/x", "http://127.0.0.1/x", "https://[::ffff:10.0.0.1]/x", "https://0x0a000001/x"),
]
ALLOWED = "http://127.0.0.1:8443/x"
ALLOWED_PRIVATE = "https://10.0.0.1:8443/x"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """What the program in the network namespace has printed."""
    if subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a network namespace needs root")
    urls = [*NAMES, *ADDRESSES, ALLOWED, ALLOWED_PRIVATE]
    command = [*UNSHARE, sys.executable, "-m", network_namespace.__name__, *urls]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    printed: dict[str, Any] = json.loads(ran.stdout)
    return printed


def test_c16_names_of_private_addresses_contact_no_server(report: dict[str, Any]) -> None:
    assert {report["outcomes"][url] for url in NAMES} == {"HostRefused"}
    assert report["denied"] == {}


def test_c16_private_addresses_contact_no_server(report: dict[str, Any]) -> None:
    assert {report["outcomes"][url] for url in ADDRESSES} == {"AddressRefused"}
    assert report["denied"] == {}


def test_c17_a_name_that_alternates_between_public_and_private_contacts_no_server(report: dict[str, Any]) -> None:
    half = network_namespace.REBINDINGS // 2

    assert report["rebound"] == {"TryLater": half, "HostRefused": half, "calls": 0}


def test_an_address_that_the_operator_allows_is_contacted(report: dict[str, Any]) -> None:
    """Negative control: the servers do count who connects."""
    assert report["outcomes"][ALLOWED] == "fox"
    # The server has no certificate, but it was contacted.
    assert report["outcomes"][ALLOWED_PRIVATE] == "TryLater"
    assert report["allowed"] == {"127.0.0.1:8443": 1, "10.0.0.1:8443": 1}
