"""fal's reply to a submission: which of its URLs Limn uses, and how Limn builds them itself.

The client checks each receipt with `is_of_own_job`: the URLs of another job would give Limn another customer's files,
and cancel another customer's order. `provider.clients` checks stored receipts in the same way before each use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

# These namespaces have one segment more before the app (docs/fal.md, section 1.3).
NAMESPACES = ("workflows", "comfy")


@dataclass(frozen=True, kw_only=True)
class ProviderReceipt:
    """fal's reply to an accepted submission: the request id and the three URLs of the job."""

    request_id: str
    status_url: str
    response_url: str
    cancel_url: str


def derive(queue_url: str, endpoint: str, request_id: str) -> ProviderReceipt:
    """Return the receipt of a job with URLs that are built by fal's rule.

    Args:
        queue_url: The address of fal's queue, without a slash at its end.
        endpoint: fal's ID of the endpoint.
        request_id: fal's ID of the job.
    """
    job = f"{queue_url}/{_app(endpoint)}/requests/{quote(request_id, safe='')}"
    return ProviderReceipt(
        request_id=request_id, status_url=f"{job}/status", response_url=job, cancel_url=f"{job}/cancel"
    )


def is_of_own_job(receipt: ProviderReceipt, endpoint: str, *, homes: Iterable[str]) -> bool:
    """Return whether all three URLs of a receipt are those of its own request id, at fal.

    The URLs are compared as text with those that fal may write. Nothing is parsed, so no spelling of another path
    (`..`, `%2f`, a query, a port) can pass.

    Args:
        endpoint: fal's ID of the endpoint that the job was submitted to.
        homes: The addresses of fal's queue.
    """
    # fal leaves the sub-path of the endpoint out; an older example of its documentation shows it.
    apps = (_app(endpoint), endpoint)
    written_ids = (receipt.request_id, quote(receipt.request_id, safe=""))
    jobs = [f"{home}/{app}/requests/{written}" for home in homes for app in apps for written in written_ids]
    return (
        receipt.status_url in [f"{job}/status" for job in jobs]
        and receipt.response_url in [*jobs, *(f"{job}/response" for job in jobs)]
        and receipt.cancel_url in [f"{job}/cancel" for job in jobs]
    )


def _app(endpoint: str) -> str:
    """Return the owner and the app of an endpoint, without its sub-path."""
    segments = endpoint.split("/")
    return "/".join(segments[: 3 if segments[0] in NAMESPACES else 2])
