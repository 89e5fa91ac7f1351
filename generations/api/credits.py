"""The customer's credits, and what became of them."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from credits.models import Account, Entry
from generations.api.serializers import CreditsSerializer, EntrySerializer
from generations.http.authentication import customer
from generations.http.openapi import problems
from generations.http.pagination import NewestFirst


class CreditsView(APIView):
    @extend_schema(operation_id="read_credits", responses={200: CreditsSerializer, **problems()})
    def get(self, request: Request) -> Response:
        """How many there are, how many are held for what is being made, and how many are left to spend."""
        return Response(CreditsSerializer(Account.objects.for_user(customer(request))).data)


@extend_schema_view(get=extend_schema(operation_id="list_entries", responses={200: EntrySerializer, **problems(400)}))
class EntriesView(ListAPIView[Entry]):
    """The statement: every posting, newest first."""

    serializer_class = EntrySerializer
    pagination_class = NewestFirst

    def get_queryset(self) -> QuerySet[Entry]:
        return Entry.objects.filter(account__user=self.request.user.pk).select_related("hold").newest_first()
