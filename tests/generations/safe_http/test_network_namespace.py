"""Where private addresses really exist and listen, none of them is ever called. C16, C17; finding 12."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.generations.safe_http import network_namespace
from tests.services.waiting import HANG_SECONDS

pytestmark = [pytest.mark.once, pytest.mark.slow]

_ROOT = Path(__file__).resolve().parents[3]
ALONE = ["unshare", "--net", "--mount"]
NAMES = [f"https://v{number}.fal.media/x" for number in range(1, 6)]
ADDRESSES = [
    *("http://10.0.0.1/x", "https://10.0.0.1/x", "https://169.254.169.254/latest/meta-data/", "https://[fd00::1]/x"),
    *("https://192.168.7.7/x", "http://127.0.0.1/x", "https://[::ffff:10.0.0.1]/x", "https://0x0a000001/x"),
]
LITERAL = "http://127.0.0.1:8443/x"
PRIVATE_LITERAL = "https://10.0.0.1:8443/x"


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What happened on the network_namespace."""
    if subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("a network namespace of one's own needs root")
    command = [
        *ALONE,
        sys.executable,
        "-m",
        "tests.generations.safe_http.network_namespace",
        *NAMES,
        *ADDRESSES,
        LITERAL,
        PRIVATE_LITERAL,
    ]
    ran = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)
    assert ran.returncode == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def test_c16_a_public_name_that_leads_to_a_private_address_calls_nobody(told: dict[str, Any]) -> None:
    assert {told["ends"][url] for url in NAMES} == {"AddressRefused"}
    assert told["denied"] == {}


def test_c16_a_private_address_itself_calls_nobody(told: dict[str, Any]) -> None:
    assert {told["ends"][url] for url in ADDRESSES} == {"AddressRefused"}
    assert told["denied"] == {}


def test_c17_a_name_that_changes_its_mind_a_thousand_times_calls_nobody(told: dict[str, Any]) -> None:
    half = network_namespace.REBINDINGS // 2

    assert told["rebound"] == {"TryLater": half, "AddressRefused": half, "calls": 0}


def test_what_the_operator_allows_literally_is_called(told: dict[str, Any]) -> None:
    """The negative control: whoever is there would have been heard."""
    assert told["ends"][LITERAL] == "fox"
    assert told["ends"][PRIVATE_LITERAL] == "TryLater"  # It shows no certificate, but it was called.
    assert told["allowed"] == {"127.0.0.1:8443": 1, "10.0.0.1:8443": 1}
