"""API keys, made and unmade by their owner, or by a key with the scope `manage`: none stronger than itself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts import api_keys
from accounts.models import ApiKey, Scope
from credits.models import CREDITS_MAX
from generations.api.filters import DOOMSDAY
from generations.catalogue import MODELS
from generations.http.authentication import customer
from generations.http.openapi import problems
from generations.http.pagination import NewestFirst
from generations.http.requests import RequestBody
from generations.ordering import quotas


def _written(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("Write the time as in 2027-01-31T12:00:00Z.")
    return datetime.fromisoformat(value)


def _to_come(moment: datetime) -> datetime:
    if not timezone.now() < moment < DOOMSDAY:
        raise ValueError("This time is past, or beyond all calendars.")
    return moment


def _on_offer(slug: str) -> str:
    if slug not in MODELS:
        raise ValueError(f"There is no model {slug}.")
    return slug


def _scope(word: object) -> Scope:
    try:
        return Scope(str(word))
    except ValueError:
        raise ValueError(f"The scopes are {', '.join(Scope)}.") from None


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Scopes = Annotated[
    list[Annotated[Scope, BeforeValidator(_scope)]], Field(min_length=1, max_length=len(Scope), description="What for.")
]
ExpiresAt = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_to_come)] | None,
    Field(default=None, description="From then on it opens nothing. Null: never."),
]
CreditsMax = Annotated[
    int | None,
    Field(default=None, ge=0, le=CREDITS_MAX, description="What may be spent with it in all its life. Null: no cap."),
]
Slugs = Annotated[
    list[Annotated[str, Field(max_length=100), AfterValidator(_on_offer)]],
    Field(default_factory=list, max_length=200, description="The models that it may order. Empty: all."),
]


class KeyRequest(RequestBody):
    """A key that should be made."""

    name: Name
    scopes: Scopes = [Scope.READ, Scope.ORDER]
    expires_at: ExpiresAt
    credits_max: CreditsMax
    models: Slugs

    @property
    def rights(self) -> api_keys.Rights:
        return api_keys.Rights(
            scopes=frozenset(self.scopes),
            expires_at=self.expires_at,
            credits_max=self.credits_max,
            models=frozenset(self.models),
        )


class KeyChangeRequest(RequestBody):
    """What should be different from now on; what is not named stays."""

    name: Name = ""
    scopes: Scopes = [Scope.READ]
    expires_at: ExpiresAt
    credits_max: CreditsMax
    models: Slugs

    @property
    def asked(self) -> dict[str, Any]:
        asked = {name: getattr(self, name) for name in self.model_fields_set}
        return {name: frozenset(value) if isinstance(value, list) else value for name, value in asked.items()}


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """A key, without what opens anything."""

    id = serializers.UUIDField(source="uid")
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))
    models = serializers.ListField(child=serializers.CharField(), source="model_slugs")
    credits_spent = serializers.IntegerField(help_text="With it, credits that are held now among them.")

    class Meta:
        model = ApiKey
        fields = (
            *("id", "name", "prefix", "scopes", "models", "credits_max", "credits_spent"),
            *("expires_at", "created_at", "last_used_at", "revoked_at"),
        )
        read_only_fields = fields


class IssuedKeySerializer(KeySerializer):
    """A new key, with the one sight of what to send."""

    key = serializers.CharField(help_text="Send it as `Authorization: Token …`. Nobody can show it again.")

    class Meta(KeySerializer.Meta):
        fields = ("key", *KeySerializer.Meta.fields)  # type: ignore[assignment]  # one more


class KeysView(ListAPIView[ApiKey]):
    serializer_class = KeySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[ApiKey]:
        return _shown(self.request)

    @extend_schema(operation_id="list_keys", responses={200: KeySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your keys, newest first, the revoked ones among them."""
        return super().get(request)

    @extend_schema(
        operation_id="create_key",
        request=KeyRequest,
        responses={201: IssuedKeySerializer, **problems(400, 411, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        """Make one. This answer alone shows what to send; keep it well."""
        wish = KeyRequest.read(request)
        issued = api_keys.issue(customer(request), wish.name, rights=wish.rights, by=_asking(request))
        key = _find(request, issued.key.uid)
        key.key = issued.plain  # type: ignore[attr-defined]  # for this one answer
        response = Response(IssuedKeySerializer(key).data, status=201)
        response["Location"] = reverse("api:key", args=[key.uid], request=request)
        response["Cache-Control"] = "no-store"
        return response


class KeyView(APIView):
    @extend_schema(operation_id="read_key", responses={200: KeySerializer, **problems(404)})
    def get(self, request: Request, key_id: UUID) -> Response:
        """What it may, what it has spent, and when it was used last."""
        return Response(KeySerializer(_find(request, key_id)).data)

    @extend_schema(
        operation_id="change_key",
        request=KeyChangeRequest,
        responses={200: KeySerializer, **problems(400, 404, 411, 413, 415, 422)},
    )
    def patch(self, request: Request, key_id: UUID) -> Response:
        """Change its name, or what it may. It holds from the next request on."""
        key = _find(request, key_id)
        api_keys.change(key, by=_asking(request), **KeyChangeRequest.read(request).asked)
        return Response(KeySerializer(key).data)

    @extend_schema(
        operation_id="revoke_key", responses={204: OpenApiResponse(description="It opens nothing."), **problems(404)}
    )
    def delete(self, request: Request, key_id: UUID) -> Response:
        """Revoke it: from this answer on it opens nothing. Its row stays, for what was spent with it."""
        api_keys.revoke(_find(request, key_id))
        return Response(status=204)


def _shown(request: Request) -> QuerySet[ApiKey]:
    return quotas.with_credits_spent(ApiKey.objects.visible_to(request.user))


def _find(request: Request, key_id: UUID) -> ApiKey:
    return get_object_or_404(_shown(request), uid=key_id)


def _asking(request: Request) -> ApiKey | None:
    """The key that asks. None: a person, in a browser."""
    return request.auth if isinstance(request.auth, ApiKey) else None
