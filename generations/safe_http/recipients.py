"""Decides which URLs outgoing webhooks may be sent to: public https addresses, and never Limn itself.

The API and the pages call `check` when a customer names a URL. When the notifier sends a webhook, `client.post` checks
the addresses that the host name resolves to.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.http import is_same_domain
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from generations.models import WEBHOOK_URL_CHARACTERS_MAX
from generations.safe_http.addresses import is_loopback
from generations.safe_http.errors import AddressRefused
from generations.safe_http.urls import Target, parse_recipient


class BadAddress(Exception):
    """Webhooks cannot be sent to this URL. The message says why, for the customer."""


def check(url: str) -> Target:
    """Parse the URL of a webhook. Raises BadAddress if it is not allowed. Does not resolve the host name."""
    if len(url) > WEBHOOK_URL_CHARACTERS_MAX:
        raise BadAddress(f"A webhook URL has at most {WEBHOOK_URL_CHARACTERS_MAX} characters.")
    try:
        target = parse_recipient(url, loopback_allowed=loopback_allowed())
    except AddressRefused as error:
        raise BadAddress(f"Webhooks cannot be sent to this URL: {error}. Use a public https URL.") from error
    site = urlsplit(settings.SITE_URL)
    if is_loopback(target.host):
        # Other programs of the machine may receive webhooks; only these ports are Limn's.
        is_limn = target.port in {site.port, settings.PORT}
    else:
        # As Django reads ALLOWED_HOSTS: ".example.com" is the domain and its subdomains. "*" names no host.
        own_hosts = [host.lower() for host in (*settings.ALLOWED_HOSTS, site.hostname or "")]
        is_limn = any(is_same_domain(target.host, host) for host in own_hosts)
    if is_limn:
        raise BadAddress("This is Limn's own address. Webhooks are sent to other servers only.")
    return target


def loopback_allowed() -> bool:
    """Return whether webhooks may go to loopback addresses: only where Limn itself runs on one, as in development."""
    return is_loopback(urlsplit(settings.SITE_URL).hostname or "")


def _valid_recipient(url: str) -> str:
    try:
        check(url)
    except BadAddress as error:
        # A plain ValueError would get the prefix "Value error, " in front of its message.
        raise PydanticCustomError("webhook_url", "{why}", {"why": str(error)}) from error
    return url


WebhookUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=WEBHOOK_URL_CHARACTERS_MAX),
    AfterValidator(_valid_recipient),
    Field(description="A public https URL."),
]
