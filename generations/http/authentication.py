"""Authenticates API requests by key, and requires the key's scope.

DRF calls `ApiKeyAuthentication` for every request below /api/. Requests of a logged-in browser are authenticated by
DRF's own `SessionAuthentication`, which requires the CSRF token; a session has every scope.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from accounts import api_keys
from accounts.models import ApiKey, Scope

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# "Bearer" as well, since many HTTP clients can send no other scheme.
SCHEMES = ("token", "bearer")
# Sections of the API that need the same scope for every method. In all other sections, reading needs `read` and
# changing needs `order`.
SECTION_SCOPES = {
    "quotes": Scope.READ,
    "keys": Scope.MANAGE,
    "webhook-endpoints": Scope.MANAGE,
    "webhook-deliveries": Scope.MANAGE,
    "webhook-secret": Scope.MANAGE,
}
# Sections in which changing needs `manage`: a shorter retention erases the results of every key.
MANAGED_SECTIONS = {"retention"}


def scope_for(method: str, path: str) -> Scope:
    """Return the scope that a key needs for this method and path (`/api/v1/<section>/…`)."""
    section = path.removeprefix("/api/v1/").partition("/")[0]
    # A quote is a POST that changes nothing, and the secrets of webhooks must not be read with `read`.
    if section in SECTION_SCOPES:
        return SECTION_SCOPES[section]
    if method.upper() in SAFE_METHODS:
        return Scope.READ
    return Scope.MANAGE if section in MANAGED_SECTIONS else Scope.ORDER


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticates `Authorization: Token limn_…`."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        # Not `request.headers`, which parses the names of all headers.
        scheme, _, plain = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() not in SCHEMES:
            # Not an API key: DRF tries the session next.
            return None
        # A view may find the key and the row that its URL names with one statement.
        find = getattr(request.parser_context["view"], "find_key", api_keys.find)
        if (key := find(plain.strip())) is None:
            raise AuthenticationFailed("This API key does not exist, has expired or was revoked.")
        # Here and not in a permission class: a view that overrides its permissions still requires the scope.
        if (scope := scope_for(str(request.method), request.path)) not in key.scopes:
            raise PermissionDenied(f"This key lacks the scope “{scope}”.")
        # Orders and erasures check later what this key may do.
        api_keys.set_current(key)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Token realm="Limn"'


def authenticated_user(request: Request) -> User:
    """Return the user of a request to a view that requires authentication."""
    return cast("User", request.user)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes `ApiKeyAuthentication` in the OpenAPI document."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token limn_…`, with one of your API keys.",
        }
