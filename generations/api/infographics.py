"""Infographics: a prompt, and optionally the article of a web page, are ordered as a batch of images.

Each image is a generation like any other; `generations.infographics` writes its prompt.
"""

from __future__ import annotations

from typing import Annotated, Any

from drf_spectacular.utils import extend_schema
from pydantic import AliasChoices, Field, StringConstraints, field_validator
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from credits.models import Account
from generations import services
from generations.api import batches
from generations.api.order_requests import AllowDuplicate, MaxCredits, Metadata, located_in
from generations.http.authentication import authenticated_user
from generations.http.idempotency import RequestIdentity
from generations.http.login_required import actor_of
from generations.http.openapi import IDEMPOTENCY_KEY, problems
from generations.http.requests import RequestBody
from generations.infographics import prompts
from generations.infographics.articles import Article
from generations.models import Batch, Generation
from generations.ordering.orders import BatchOrder, find_batch


class InfographicsRequest(RequestBody):
    """An order of infographics."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        max_length=prompts.PROMPT_INPUT_CHARACTERS_MAX, description="What the infographic should show."
    )
    blog_url: str | None = Field(
        default=None, max_length=2048, description="A public https URL of a web page. Its article is the material."
    )
    aspect_ratio: prompts.AspectRatio = "16:9"
    resolution: prompts.Resolution = "2K"
    # The earlier infographics service called it "number_of_infographs".
    number_of_infographics: int = Field(
        default=1,
        ge=1,
        le=prompts.COUNT_MAX,
        validation_alias=AliasChoices("number_of_infographics", "number_of_infographs"),
    )
    metadata: Metadata
    max_credits: MaxCredits
    allow_duplicate: AllowDuplicate
    notify: bool = Field(default=False, description="Send an e-mail when all of them have ended.")

    @field_validator("aspect_ratio", mode="before")
    @classmethod
    def accept_slash(cls, ratio: Any) -> Any:
        """Accept "16/9" as well, which clients of the earlier infographics service send."""
        return ratio.replace("/", ":") if isinstance(ratio, str) else ratio

    def order(self, article: Article | None, identity: RequestIdentity) -> BatchOrder:
        """Return the batch of images to order. Raises InvalidInput.

        Args:
            article: The article of `blog_url`, if it has been fetched. It does not change the price.
        """
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
    """An order of infographics. Poll each `status_url`, or `batch_url` for all of them at once."""

    batch = serializers.UUIDField(source="id")
    batch_url = serializers.SerializerMethodField()
    prompt = serializers.SerializerMethodField(help_text="The complete prompt that the model receives.")
    infographics = InfographicSerializer(many=True, source="generations")
    total_submitted = serializers.SerializerMethodField()
    credits_used = serializers.SerializerMethodField(help_text="Held now, and charged for what is delivered.")

    def get_batch_url(self, batch: Batch) -> str:
        return reverse("api:batch", args=[batch.pk], request=self.context["request"])

    def get_prompt(self, batch: Batch) -> str:
        # All images of a batch have the same prompt. An erased one has none.
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
        """Orders infographics from a prompt and, optionally, the article of a web page: all of them, or none."""
        body, identity = InfographicsRequest.read(request), RequestIdentity.read(request)
        user = authenticated_user(request)
        account = Account.objects.for_user(user)
        # A repeated request is answered first, even if the price or the page has changed since.
        batch = find_batch(account, key=identity.key, request_hash=identity.request_hash)
        is_new = False
        if batch is None:
            # An order that cannot be placed is refused before the page is fetched, which takes seconds.
            services.require_possible(account, body.order(None, identity), max_credits=body.max_credits)
            article = prompts.read_page(body.blog_url, account_id=account.pk) if body.blog_url else None
            order = body.order(article, identity)
            with located_in("inputs"):
                batch, is_new = services.place_batch(account, order, actor=actor_of(user), max_credits=body.max_credits)
        return batches.order_response(request, batch, is_new=is_new, serializer=InfographicsSerializer)
