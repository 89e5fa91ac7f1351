"""Renders generations as the JSON of the API: plain dicts, made from rows in hand without any query.

The views of generations and batches call it. `GenerationSerializer` describes the same JSON in the OpenAPI document; a
test compares the two. Nested serializers would take ten times as many calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from rest_framework.request import Request

from generations import catalogue
from generations.files import signed_urls
from generations.lifecycle import charging_rules
from generations.models import Generation, InputFile, Output, Rule, Status, statements
from generations.progress import durations

# The members of `urls`, and the views that they lead to.
URL_NAMES = {
    "self": "api:generation",
    "cancel": "api:generation-cancel",
    "events": "api:generation-events",
    "stream": "api:generation-stream",
    "page": "generation",
}
_PLACEHOLDER = UUID(int=0)


@dataclass(frozen=True)
class Links:
    """The URLs in the JSON of generations, as texts around an id: resolving a URL name takes a hundred calls."""

    site: str
    """Scheme and host, as the client has named them: the beginning of absolute URLs."""
    of_generation: tuple[tuple[str, str, str], ...]
    """For each member of `urls`: its name, and what comes before and after the id of the generation."""
    of_content: tuple[str, str]
    """The path to the content of an output: what comes before and after its id."""

    @classmethod
    def of(cls, request: HttpRequest | Request) -> Links:
        """Return the URLs for the response to this request."""
        return _links(f"{request.scheme}://{request.get_host()}", get_script_prefix())


@lru_cache(maxsize=16)
def _links(site: str, script_prefix: str) -> Links:
    """Return the URLs below a host and a path. `reverse` adds the path; here it only tells the entries apart."""
    parts = {name: reverse(name, args=[_PLACEHOLDER]).split(str(_PLACEHOLDER)) for name in URL_NAMES.values()}
    before_content, after_content = reverse("api:output-content", args=[_PLACEHOLDER]).split(str(_PLACEHOLDER))
    return Links(
        site=site,
        of_generation=tuple((key, site + parts[name][0], parts[name][1]) for key, name in URL_NAMES.items()),
        of_content=(before_content, after_content),
    )


def represent(
    generation: Generation,
    *,
    outputs: Iterable[Output],
    input_files: Iterable[InputFile],
    fal_request_id: str | None,
    links: Links,
) -> dict[str, Any]:
    """Return the JSON of a generation.

    Args:
        outputs: Those that are in storage, by index.
        input_files: Those that are uploads or outputs, each with its `output` in hand.
        fal_request_id: The request id of its latest submission that fal has accepted.
    """
    key = str(generation.id)
    sources = [_source(file) for file in input_files]
    return {
        "id": key,
        "model": generation.model,
        "kind": generation.kind,
        "status": generation.status,
        "phase": generation.phase,
        "version": generation.version,
        "input": generation.input,
        "metadata": generation.metadata,
        "progress": _progress(generation),
        "outputs": [_output(output, links) for output in outputs],
        "details": generation.details,
        "error": _error(generation) if generation.status == Status.FAILED else None,
        "credits": _credits(generation),
        "fal_request_id": fal_request_id,
        "batch": _text(generation.batch_id),
        "retry_of": _text(generation.retry_of_id),
        "sources": sources,
        "parent": next((source["generation"] for source in sources if source["output"]), None),
        "idempotency_key": generation.idempotency_key,
        "created_at": _time(generation.created_at),
        "submitted_at": _time(generation.submitted_at),
        "answered_at": _time(generation.answered_at),
        "finished_at": _time(generation.finished_at),
        "erased_at": _time(generation.erased_at),
        "urls": {name: f"{before}{key}{after}" for name, before, after in links.of_generation},
    }


def represent_found(generation: Generation, *, links: Links) -> dict[str, Any]:
    """Return the JSON of a generation that `models.statements` has found."""
    return represent(
        generation,
        outputs=statements.outputs_of(generation),
        input_files=statements.input_files_of(generation),
        fal_request_id=generation.fal_request_id,  # type: ignore[attr-defined]
        links=links,
    )


def _progress(generation: Generation) -> dict[str, Any]:
    eta_seconds = None
    # The model of an old generation may have been removed from the catalogue.
    if not generation.is_done and (model := catalogue.MODELS.get(generation.model)) is not None:
        age = (timezone.now() - generation.created_at).total_seconds()
        # A generation that takes longer than usual is still not about to end: 0 would say so.
        eta_seconds = max(1, durations.typical_seconds(model) - int(age))
    return {
        "queue_position": generation.queue_position,
        "percent": generation.percent,
        "message": generation.message or None,
        "eta_seconds": eta_seconds,
    }


def _credits(generation: Generation) -> dict[str, Any]:
    return {
        "quoted": generation.credits,
        # A generation settles its hold in the transaction that ends it.
        "held": 0 if generation.is_done else generation.credits,
        "captured": generation.captured,
        "released": generation.released,
        # The column is empty until the generation has ended.
        "rule": generation.rule or None,
        "why": charging_rules.TABLE[Rule(generation.rule)].because if generation.rule else None,
    }


def _error(generation: Generation) -> dict[str, Any]:
    return {
        "code": generation.failure_code,
        "message": generation.failure_message,
        "retryable": generation.retryable,
        "charged": generation.captured,
        "refunded": generation.released,
        "errors": [
            {"loc": each["loc"], "msg": each["msg"], "type": each["type"]} for each in generation.failure_errors
        ],
    }


def _output(output: Output, links: Links) -> dict[str, Any]:
    # Signed once, so that the URL and its expiry belong together.
    link = signed_urls.for_reading(output)
    before, after = links.of_content
    key = str(output.id)
    return {
        "id": key,
        "index": output.index,
        "kind": output.kind,
        "role": output.role,
        "content_type": output.content_type,
        "width": output.width,
        "height": output.height,
        "duration": output.duration_seconds,
        "size": output.size_bytes,
        "sha256": output.sha256,
        "flagged": output.flagged,
        # The URL of a bucket is absolute already.
        "url": links.site + link.url if link.url.startswith("/") else link.url,
        "url_expires_at": _time(link.expires_at),
        "content_url": f"{before}{key}{after}",
    }


def _source(file: InputFile) -> dict[str, str | None]:
    return {
        "path": file.path,
        "upload": _text(file.upload_id),
        "output": _text(file.output_id),
        "generation": str(file.output.generation_id) if file.output else None,
    }


def _text(key: UUID | None) -> str | None:
    return None if key is None else str(key)


def _time(moment: datetime | None) -> str | None:
    """Return a time as RFC 3339 has it, with Z for UTC as DRF writes it. All times of the database are in UTC."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
