"""API keys: created, changed and revoked by their owner, or with a key that has the scope `manage`.

A key cannot give another key more rights than it has itself; a person who is logged in can. `accounts.api_keys`
enforces this.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints, field_validator
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts import api_keys
from accounts.models import ApiKey, Scope
from credits.models import CREDITS_MAX
from generations.api.filters import LATEST
from generations.catalogue import MODELS
from generations.http.authentication import authenticated_user
from generations.http.openapi import problems
from generations.http.pagination import NewestFirst
from generations.http.requests import RequestBody
from generations.ordering import quotas


def _parse_scope(name: object) -> Scope:
    # The strict mode of the body would refuse the text of a scope.
    try:
        return Scope(str(name))
    except ValueError:
        raise ValueError(f"The scopes are {', '.join(Scope)}.") from None


def _require_known_model(slug: str) -> str:
    if slug not in MODELS:
        raise ValueError(f"There is no model {slug}.")
    return slug


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Scopes = Annotated[
    list[Annotated[Scope, BeforeValidator(_parse_scope)]],
    Field(min_length=1, max_length=len(Scope), description="What the key may be used for."),
]
Slugs = Annotated[
    list[Annotated[str, Field(max_length=100), AfterValidator(_require_known_model)]],
    Field(default_factory=list, max_length=200, description="Slugs of the models that may be ordered. Empty: all."),
]


class KeyRequest(RequestBody):
    """A new API key."""

    name: Name
    scopes: Scopes = [Scope.READ, Scope.ORDER]
    expires_at: AwareDatetime | None = Field(default=None, description="When the key expires. null: never.")
    credits_max: int | None = Field(
        default=None,
        ge=0,
        le=CREDITS_MAX,
        description="Credits that may be spent with the key in total. null: no limit.",
    )
    models: Slugs

    @field_validator("expires_at", mode="before")
    @classmethod
    def parse_expiry(cls, value: Any) -> datetime | None:
        """Convert the text of a time, which the strict mode of the body would refuse."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError("Write the time as in 2027-01-31T12:00:00Z.")
        # A text without a UTC offset is refused by AwareDatetime afterwards.
        return datetime.fromisoformat(value)

    @field_validator("expires_at")
    @classmethod
    def require_future(cls, value: datetime | None) -> datetime | None:
        if value is not None and not timezone.now() < value < LATEST:
            raise ValueError("This time is in the past, or too far in the future.")
        return value

    @property
    def rights(self) -> api_keys.Rights:
        """The rights of the new key."""
        return api_keys.Rights(
            scopes=frozenset(self.scopes),
            expires_at=self.expires_at,
            credits_max=self.credits_max,
            models=frozenset(self.models),
        )


class KeyChangeRequest(KeyRequest):
    """Changes to an API key. Members that are left out keep their values."""

    name: Name = ""
    # A default would be shown in the OpenAPI document, although a member that is left out keeps its value.
    scopes: Scopes = Field(default_factory=list)

    @property
    def changes(self) -> dict[str, Any]:
        """The members of the request, as arguments for `api_keys.change`."""
        # Only the members that were sent: a null is a change, a default is not.
        members = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: frozenset(value) if isinstance(value, list) else value for name, value in members.items()}


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key, without its secret."""

    id = serializers.UUIDField(source="uid")
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))
    models = serializers.ListField(child=serializers.CharField(), source="model_slugs")
    credits_spent = serializers.IntegerField(help_text="Credits spent with the key, including those that are held.")

    class Meta:
        model = ApiKey
        fields = (
            *("id", "name", "prefix", "scopes", "models", "credits_max", "credits_spent"),
            *("expires_at", "created_at", "last_used_at", "revoked_at"),
        )
        read_only_fields = fields


class IssuedKeySerializer(KeySerializer):
    """A new API key, with its secret. The secret cannot be shown again."""

    key = serializers.CharField(help_text="Send it as `Authorization: Token …`. It is shown only now.")

    class Meta(KeySerializer.Meta):
        fields = ("key", *KeySerializer.Meta.fields)  # type: ignore[assignment]  # one more


class KeysView(ListAPIView[ApiKey]):
    serializer_class = KeySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[ApiKey]:
        return _visible_keys(self.request)

    @extend_schema(operation_id="list_keys", responses={200: KeySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your API keys, newest first, including revoked ones."""
        return super().get(request)

    @extend_schema(
        operation_id="create_key",
        request=KeyRequest,
        responses={201: IssuedKeySerializer, **problems(400, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Creates an API key. Only this response contains its secret."""
        body = KeyRequest.read(request)
        issued = api_keys.issue(authenticated_user(request), body.name, rights=body.rights, by=_key_of(request))
        # Read again with the credits that were spent with it, which every response about a key shows.
        key = _find(request, issued.key.uid)
        key.key = issued.plain  # type: ignore[attr-defined]  # for this one response
        response = Response(IssuedKeySerializer(key).data, status=201)
        response["Location"] = reverse("api:key", args=[key.uid], request=request)
        response["Cache-Control"] = "no-store"
        return response


class KeyView(APIView):
    @extend_schema(operation_id="read_key", responses={200: KeySerializer, **problems(404)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """An API key: its rights, what was spent with it, and when it was last used."""
        return Response(KeySerializer(_find(request, key_id)).data)

    @extend_schema(
        operation_id="change_key",
        request=KeyChangeRequest,
        responses={200: KeySerializer, **problems(400, 404, 411, 413, 415, 422)},
    )
    def patch(self, request: Request, key_id: UUID) -> Response:
        """Changes the name or the rights of an API key, from the next request on."""
        key = _find(request, key_id)
        api_keys.change(key, by=_key_of(request), **KeyChangeRequest.read(request).changes)
        return Response(KeySerializer(key).data)

    @extend_schema(
        operation_id="revoke_key",
        responses={204: OpenApiResponse(description="The key is revoked."), **problems(404)},
    )
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revokes an API key at once. It stays in the list, with what was spent with it."""
        api_keys.revoke(_find(request, key_id))
        return Response(status=204)


def _visible_keys(request: Request) -> QuerySet[ApiKey]:
    return quotas.with_credits_spent(ApiKey.objects.visible_to(request.user))


def _find(request: Request, key_id: UUID) -> ApiKey:
    return get_object_or_404(_visible_keys(request), uid=key_id)


def _key_of(request: Request) -> ApiKey | None:
    """Return the key with which the request came. None: a person is logged in."""
    return request.auth if isinstance(request.auth, ApiKey) else None
