"""Who is asking, and what for: the bearer of an API key, and the scope that he needs.

Pages' sessions are DRF's own class, which demands the CSRF token; they may do everything.
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

# "Bearer" too, since most clients know how to send nothing else.
SCHEMES = ("token", "bearer")
# Everything else is `read` for who only looks, and `order` for who changes something.
SECTIONS = {
    "quotes": Scope.READ,
    "keys": Scope.MANAGE,
    "webhook-endpoints": Scope.MANAGE,
    "webhook-deliveries": Scope.MANAGE,
    "webhook-secret": Scope.MANAGE,
}
# Whoever changes these may have everything of the past erased.
CHANGED_BY_MANAGERS = {"retention"}


def scope_for(method: str, path: str) -> Scope:
    """What a key needs for this method of this address, /api/v1/<section>/…"""
    section = path.removeprefix("/api/v1/").partition("/")[0]
    changing = Scope.MANAGE if section in CHANGED_BY_MANAGERS else Scope.ORDER
    return SECTIONS.get(section, Scope.READ if method.upper() in SAFE_METHODS else changing)


class ApiKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in SCHEMES:
            return None
        key = api_keys.find(plain.strip())
        if key is None:
            raise AuthenticationFailed("This API key does not exist, or opens nothing any more.")
        # Here and not in a permission: a view that forgets its permissions still needs the scope.
        if (scope := scope_for(str(request.method), request.path)) not in key.scopes:
            raise PermissionDenied(f"This key lacks the scope “{scope}”.")
        api_keys.set_current(key)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Token realm="Limn"'


def customer(request: Request) -> User:
    """Who is asking, where nobody anonymous gets in."""
    return cast("User", request.user)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI document tells of it."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token limn_…`, with a key of yours.",
        }
