"""The events for dj-stripe are signed as Stripe's documentation says; `make bench` runs the endpoint itself."""

from __future__ import annotations

import hashlib
import hmac
import json
import re

import pytest

from quality.benchmarks import stripe_peer
from quality.chaos.processes import ROOT

pytestmark = pytest.mark.once


def test_an_event_is_signed_and_unique() -> None:
    first, second = stripe_peer.StripePeer(port=1, pid=1, path="/stripe/webhook/x/").events(2)

    head, _, body = first.partition(b"\r\n\r\n")
    ((stamp, signature),) = re.findall(rb"Stripe-Signature: t=(\d+),v1=([0-9a-f]{64})", head)
    expected = hmac.new(stripe_peer.SECRET.encode(), stamp + b"." + body, hashlib.sha256).hexdigest()
    assert signature.decode() == expected
    assert json.loads(body)["id"] != json.loads(second.partition(b"\r\n\r\n")[2])["id"]


def test_the_application_has_the_same_secret() -> None:
    # It runs in another environment and cannot be imported here.
    source = (ROOT / "quality/benchmarks/stripe_application.py").read_text()

    assert f'SECRET = "{stripe_peer.SECRET}"' in source
