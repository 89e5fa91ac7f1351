"""The addresses of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from generations.pages import batches, browsing, keeping, keys, notices, ordering, pictures, statement
from generations.pages.logging_in import Login

urlpatterns = [
    path("login/", Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", browsing.generations, name="generations"),
    path("models/", ordering.models, name="models"),
    path("new/<str:slug>/", ordering.new, name="new"),
    path("new/<str:slug>/price/", ordering.price, name="price"),
    path("generations/<uuid:generation_id>/", browsing.generation, name="generation"),
    path("generations/<uuid:generation_id>/status/", browsing.status, name="generation-status"),
    path("generations/<uuid:generation_id>/cancel/", browsing.cancel, name="generation-cancel"),
    path("generations/<uuid:generation_id>/erase/", browsing.erase, name="generation-erase"),
    path("generations/<uuid:generation_id>/retry/", ordering.retry, name="generation-retry"),
    path("infographics/", batches.new_infographics, name="new-infographics"),
    path("batches/<uuid:batch_id>/", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/status/", batches.status, name="batch-status"),
    path("batches/<uuid:batch_id>/cancel/", batches.cancel, name="batch-cancel"),
    path("uploads/", pictures.show, name="uploads"),
    path("uploads/<uuid:upload_id>/erase/", pictures.erase, name="upload-erase"),
    path("charges/", statement.charges, name="charges"),
    path("notices/", notices.show, name="notices"),
    path("notices/mail/", notices.mail, name="notices-mail"),
    path("notices/keeping/", keeping.keep, name="notices-keeping"),
    path("notices/secret/", notices.secret, name="notices-secret"),
    path("notices/endpoints/", notices.add, name="notices-add"),
    path("notices/endpoints/<uuid:endpoint_id>/<str:deed>/", notices.act, name="webhook-endpoint-act"),
    path("notices/deliveries/<uuid:delivery_id>/", notices.delivery, name="webhook-delivery"),
    path("notices/deliveries/<uuid:delivery_id>/resend/", notices.resend, name="webhook-delivery-resend"),
    path("unsubscribe/<str:ticket>/", notices.unsubscribe, name="unsubscribe"),
    path("credits/", statement.statement, name="credits"),
    path("keys/", keys.keys, name="keys"),
    path("keys/<uuid:key_id>/revoke/", keys.revoke, name="key-revoke"),
]
