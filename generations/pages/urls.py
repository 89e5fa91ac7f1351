"""URLs of the pages of the generations app."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from generations.pages import api_keys, batches, create, generations, retention, statement, uploads
from generations.pages.login import Login

urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", generations.library, name="library"),
    path("models/", create.models, name="models"),
    path("new/<str:slug>/", create.create, name="create"),
    path("new/<str:slug>/price/", create.quote, name="quote"),
    path("generations/<uuid:generation_id>/", generations.generation, name="generation"),
    path("generations/<uuid:generation_id>/status/", generations.status, name="generation-status"),
    path("generations/<uuid:generation_id>/cancel/", generations.cancel, name="generation-cancel"),
    path("generations/<uuid:generation_id>/erase/", generations.erase, name="generation-erase"),
    path("generations/<uuid:generation_id>/retry/", create.retry, name="generation-retry"),
    path("generations/<uuid:generation_id>/again/", create.again, name="generation-again"),
    path("infographics/", batches.infographics, name="infographics"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/status/", batches.status, name="batch-status"),
    path("batches/<uuid:batch_id>/cancel/", batches.cancel, name="batch-cancel"),
    path("uploads/", uploads.show, name="uploads"),
    path("uploads/<uuid:upload_id>/erase/", uploads.erase, name="upload-erase"),
    path("charges/", statement.rules, name="charging-rules"),
    path("notices/keeping/", retention.save, name="retention"),
    path("credits/", statement.statement, name="credits"),
    path("keys/", api_keys.show, name="api-keys"),
    path("keys/<uuid:key_id>/revoke/", api_keys.revoke, name="api-key-revoke"),
]
