"""Infographics: a wish, and perhaps a blog page, become so many pictures. Each is a generation like any other."""

from __future__ import annotations

from typing import Annotated, Any

from drf_spectacular.utils import extend_schema
from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations import services
from generations.api import batches
from generations.api.order_requests import AllowDuplicate, MaxCredits, Metadata, located_in
from generations.http.authentication import customer
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, problems
from generations.http.requests import RequestBody
from generations.infographics import prompts
from generations.infographics.articles import Article
from generations.models import Batch, Generation
from generations.ordering.orders import BatchOrder, find_batch


def _with_a_colon(ratio: Any) -> Any:
    # "16/9", as the service before us wrote it.
    return ratio.replace("/", ":") if isinstance(ratio, str) else ratio


class InfographicsRequest(RequestBody):
    """What should be shown, and how often."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        max_length=prompts.PROMPT_INPUT_CHARACTERS_MAX, description="What the infographic should tell."
    )
    blog_url: str | None = Field(
        default=None, max_length=2048, description="A public https address of a page whose article is the material."
    )
    aspect_ratio: Annotated[prompts.AspectRatio, BeforeValidator(_with_a_colon)] = "16:9"
    resolution: prompts.Resolution = "2K"
    number_of_infographics: int = Field(
        default=1,
        ge=1,
        le=prompts.COUNT_MAX,
        validation_alias=AliasChoices("number_of_infographics", "number_of_infographs"),
    )
    metadata: Metadata
    max_credits: MaxCredits
    allow_duplicate: AllowDuplicate
    notify: bool = Field(default=False, description="Write an e-mail when all of them have ended.")

    def read_page(self, account: Account) -> Article | None:
        """Raises InvalidInput when it cannot be read, outside.Busy."""
        return prompts.read_page(account, self.blog_url) if self.blog_url else None

    def order(self, article: Article | None, identity: RequestIdentity) -> BatchOrder:
        """The pictures as one order."""
        infographic = prompts.InfographicRequest(
            prompt=self.prompt,
            article=article,
            aspect_ratio=self.aspect_ratio,
            resolution=self.resolution,
            count=self.number_of_infographics,
        )
        return BatchOrder(
            orders=infographic.orders(metadata=self.metadata),
            purpose=prompts.PURPOSE,
            notify=self.notify,
            idempotency_key=identity.key,
            request_hash=identity.request_hash,
            allow_duplicate=self.allow_duplicate or identity.key is not None,
        )


class InfographicSerializer(serializers.Serializer[Generation]):
    id = serializers.UUIDField()
    request_id = serializers.UUIDField(source="id", help_text="The same as `id`.")
    status = serializers.CharField()
    status_url = serializers.SerializerMethodField()

    def get_status_url(self, generation: Generation) -> str:
        return reverse("api:generation", args=[generation.pk], request=self.context["request"])


class InfographicsSerializer(serializers.Serializer[Batch]):
    """What was submitted. `status_url` of each, or the batch at once, tells how it goes on."""

    batch = serializers.UUIDField(source="id")
    batch_url = serializers.SerializerMethodField()
    prompt = serializers.SerializerMethodField(help_text="What the model is asked for: the template, filled in.")
    infographics = InfographicSerializer(many=True, source="generations")
    total_submitted = serializers.SerializerMethodField()
    credits_used = serializers.SerializerMethodField(help_text="Held now; charged for what is delivered.")

    def get_batch_url(self, batch: Batch) -> str:
        return reverse("api:batch", args=[batch.pk], request=self.context["request"])

    def get_prompt(self, batch: Batch) -> str:
        # Nothing, once it has been erased.
        return str(batch.generations.all()[0].input.get("prompt", ""))

    def get_total_submitted(self, batch: Batch) -> int:
        return len(batch.generations.all())

    def get_credits_used(self, batch: Batch) -> int:
        return sum(generation.credits for generation in batch.generations.all())


class InfographicsView(APIView):
    @extend_schema(
        operation_id="create_infographics",
        request=InfographicsRequest,
        parameters=[IDEMPOTENCY_KEY],
        responses={
            200: InfographicsSerializer,
            202: InfographicsSerializer,
            **problems(400, 402, 403, 404, 409, 411, 413, 415, 422),
        },
    )
    def post(self, request: Request) -> Response:
        """Order infographics, from a prompt and the article of a page: all of them, or none."""
        body, identity = InfographicsRequest.read(request), RequestIdentity.read(request)
        user = customer(request)
        account = Account.objects.for_user(user)
        earlier = find_batch(account, key=identity.key, request_hash=identity.request_hash)
        if earlier is not None:
            batch, is_new = earlier, False
        else:
            # Before the page is fetched, which takes seconds; the article does not change the price.
            services.require_possible(account, body.order(None, identity), max_credits=body.max_credits)
            order = body.order(body.read_page(account), identity)
            with located_in("inputs"):
                batch, is_new = services.place_batch(account, order, actor=actor_of(user), max_credits=body.max_credits)
        batch = Batch.objects.prefetch_related("generations").get(pk=batch.pk)
        data = InfographicsSerializer(batch, context={"request": request}).data
        return batches.answered(Response(data, status=202 if is_new else 200), request, batch, is_new=is_new)
