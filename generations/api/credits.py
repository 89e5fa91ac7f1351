"""The credits of an account, and its statement: the ledger entries that explain them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits.models import Account, Entry
from generations.api.serializers import CreditsSerializer, EntrySerializer
from generations.http.authentication import authenticated_user
from generations.http.openapi import problems
from generations.http.pagination import NewestFirst


class CreditsView(APIView):
    @extend_schema(operation_id="read_credits", responses={200: CreditsSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """Your balance, the part of it that is held for generations in progress, and the rest that is available."""
        user = authenticated_user(request)
        # A key is found together with the account. A new user has none yet.
        account = getattr(user, "account", None) or Account.objects.for_user(user)
        return Response(CreditsSerializer(account).data)


class EntriesView(ListAPIView[Entry]):
    serializer_class = EntrySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Entry]:
        return Entry.objects.of_user(self.request.user.pk).select_related("hold").newest_first()

    @extend_schema(operation_id="list_entries", responses={200: EntrySerializer, **problems(400)})
    def get(self, request: Request) -> Response:
        """Your statement: all ledger entries of your account, newest first."""
        return super().get(request)
