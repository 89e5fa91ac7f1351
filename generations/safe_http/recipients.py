"""Where outgoing webhooks may be sent: public https addresses, and never Limn itself.

Checked when an address is named (by the API and the pages); `client.post` checks where it leads when it connects.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.utils.http import is_same_domain

from generations.models import WEBHOOK_URL_CHARACTERS_MAX
from generations.safe_http import client as http_client
from generations.safe_http.addresses import is_loopback
from generations.safe_http.client import AddressRefused, Target


class BadAddress(Exception):
    """Webhooks cannot be sent to this address. The message says why."""


def check(url: str) -> Target:
    """Whether webhooks may go there, by the look of it. Raises BadAddress. Whoever sends checks where it leads."""
    if len(url) > WEBHOOK_URL_CHARACTERS_MAX:
        raise BadAddress(f"An address has at most {WEBHOOK_URL_CHARACTERS_MAX} characters.")
    try:
        target = http_client.recipient(url, loopback_allowed=loopback_allowed())
    except AddressRefused as error:
        raise BadAddress(f"Webhooks cannot go there: {error}. Name an https address of the internet.") from error
    if _is_ours(target):
        raise BadAddress("This is Limn's own address: it would be told what it says.")
    return target


def loopback_allowed() -> bool:
    """Where Limn itself is at home on this very machine, its customers are too."""
    return is_loopback(urlsplit(settings.SITE_URL).hostname or "")


def _is_ours(target: Target) -> bool:
    site = urlsplit(settings.SITE_URL)
    if is_loopback(target.host):
        # Many programs share this machine; ours has these ports.
        return target.port in {site.port, settings.PORT}
    # As Django reads them: ".example.com" is the name itself and all below it. ("*" names nobody.)
    ours = [host.lower() for host in (*settings.ALLOWED_HOSTS, site.hostname or "")]
    return any(is_same_domain(target.host, host) for host in ours)
