"""`JsonFirst` chooses what DRF's own negotiation chooses, for every header."""

from __future__ import annotations

import pytest
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from generations.http.negotiation import JsonFirst

pytestmark = pytest.mark.unit

ACCEPT = [
    *(None, "", "*/*", "application/json", "application/*", "application/json; indent=4", "application/problem+json"),
    *("text/html", "text/html, */*;q=0.1", "text/csv"),
]


def chosen(negotiation: DefaultContentNegotiation, accept: str | None, query: str, first: type[BaseRenderer]) -> object:
    headers = {} if accept is None else {"Accept": accept}
    request = Request(APIRequestFactory().get(f"/api/v1/credits/{query}", headers=headers))
    renderers = [first(), *(kind() for kind in (JSONRenderer, TemplateHTMLRenderer) if kind is not first)]
    try:
        renderer, media_type = negotiation.select_renderer(request, renderers)
    except Exception as error:
        return type(error)
    return type(renderer), media_type


@pytest.mark.parametrize("first", [JSONRenderer, TemplateHTMLRenderer])
def test_the_choice_is_that_of_drf(first: type[BaseRenderer]) -> None:
    choices = set()
    for accept in ACCEPT:
        for query in ("", "?format=json", "?format=html", "?format=csv", "?limit=1"):
            choice = chosen(JsonFirst(), accept, query, first)
            assert choice == chosen(DefaultContentNegotiation(), accept, query, first), (accept, query)
            choices.add(choice)

    assert choices >= {(JSONRenderer, "application/json"), (TemplateHTMLRenderer, "text/html"), NotAcceptable}
