"""Bare Django and DRF views that do the least that Limn's views must do. Limn is compared with them.

A program of its own, with settings of its own: granian serves `application`, and
`python -m quality.benchmarks.floors` creates its two tables and fills one of them.

* `/callback/`: verifies an Ed25519 signature as fal's callbacks have it, and inserts one row.
* `/rows/<number>/`: finds the API key and one row in one statement, and answers with the row, or with 304.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from pathlib import Path

import django
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.conf import settings

from config import env

# The program of a test that imports this module has settings already.
if not settings.configured:
    settings.configure(
        SECRET_KEY="only-for-benchmarks",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        INSTALLED_APPS=["rest_framework"],
        REST_FRAMEWORK={
            "UNAUTHENTICATED_USER": None,
            "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        },
        # Each thread keeps its connection, which is the fastest that Django has.
        DATABASES={"default": {**env.database("FLOOR_DATABASE_URL", Path(__file__)), "CONN_MAX_AGE": None}},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
    )
django.setup()

# Models and DRF can be imported only after django.setup().
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.cache import get_conditional_response  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Callback(models.Model):  # noqa: DJ008  (never shown)
    request_id = models.CharField(max_length=100)
    body = models.BinaryField()
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "floors"


class Key(models.Model):  # noqa: DJ008  (never shown)
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        app_label = "floors"


class Row(models.Model):  # noqa: DJ008  (never shown)
    key = models.ForeignKey(Key, models.PROTECT)
    version = models.IntegerField(default=1)
    body = models.JSONField()

    class Meta:
        app_label = "floors"


_PUBLIC_KEY = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(os.environ["FLOOR_PUBLIC_KEY"] + "="))


def callback(request: HttpRequest) -> HttpResponse:
    """Verify the signature, insert one row, answer 200."""
    body, headers = request.body, request.headers
    names = ("Request-Id", "User-Id", "Timestamp")
    signed = [headers[f"X-Fal-Webhook-{name}"] for name in names]
    try:
        signature = bytes.fromhex(headers["X-Fal-Webhook-Signature"])
        _PUBLIC_KEY.verify(signature, "\n".join([*signed, hashlib.sha256(body).hexdigest()]).encode())
    except InvalidSignature:
        return HttpResponse(status=401)
    Callback._default_manager.create(request_id=signed[0], body=body)
    return HttpResponse()


class RowView(APIView):
    """Finds key and row with one statement, and answers with the row, or with 304 if the client has it."""

    authentication_classes = ()
    permission_classes = ()

    def get(self, request: Request, number: int) -> HttpResponse:
        digest = hashlib.sha256(request.headers["Authorization"].partition(" ")[2].encode()).hexdigest()
        found = Row._default_manager.filter(pk=number, key__digest=digest)
        if "If-None-Match" in request.headers:
            version = found.values_list("version", flat=True).get()
            unchanged = get_conditional_response(request, etag=f'"{version}"')
            if unchanged is not None:
                return unchanged
        body, version = found.values_list("body", "version").get()
        return Response(body, headers={"ETag": f'"{version}"'})


urlpatterns = [path("callback/", callback), path("rows/<int:number>/", RowView.as_view())]
application = WSGIHandler()


def main(tokens: list[str], body: object) -> None:
    """Create the tables, and a row with this body for each token."""
    with connection.schema_editor() as editor:
        for model in (Callback, Key, Row):
            editor.create_model(model)
    for token in tokens:
        key = Key._default_manager.create(digest=hashlib.sha256(token.encode()).hexdigest())
        Row._default_manager.create(key=key, body=body)


if __name__ == "__main__":
    main(**json.load(sys.stdin))
