"""URLs of the pages of the generations app."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from generations.pages import batches, create, generations, keys, retention, statement, uploads
from generations.pages.login import Login

urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", generations.generations, name="library"),
    path("models/", create.models, name="models"),
    path("new/<str:slug>/", create.new, name="create"),
    path("new/<str:slug>/price/", create.price, name="quote"),
    path("generations/<uuid:generation_id>/", generations.generation, name="generation"),
    path("generations/<uuid:generation_id>/status/", generations.status, name="generation-status"),
    path("generations/<uuid:generation_id>/cancel/", generations.cancel, name="generation-cancel"),
    path("generations/<uuid:generation_id>/erase/", generations.erase, name="generation-erase"),
    path("generations/<uuid:generation_id>/retry/", create.retry, name="generation-retry"),
    path("infographics/", batches.new_infographics, name="infographics"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/status/", batches.status, name="batch-status"),
    path("batches/<uuid:batch_id>/cancel/", batches.cancel, name="batch-cancel"),
    path("uploads/", uploads.show, name="uploads"),
    path("uploads/<uuid:upload_id>/erase/", uploads.erase, name="upload-erase"),
    path("charges/", statement.charges, name="charging-rules"),
    path("notices/keeping/", retention.keep, name="retention"),
    path("credits/", statement.statement, name="credits"),
    path("keys/", keys.keys, name="api-keys"),
    path("keys/<uuid:key_id>/revoke/", keys.revoke, name="api-key-revoke"),
]
