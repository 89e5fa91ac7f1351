"""URLs of the pages of the notifications app."""

from django.urls import path

from notifications import pages

urlpatterns = [
    path("notices/", pages.show, name="notices"),
    path("notices/mail/", pages.mail, name="notices-mail"),
    path("notices/secret/", pages.secret, name="notices-secret"),
    path("notices/endpoints/", pages.add, name="notices-add"),
    path("notices/endpoints/<uuid:endpoint_id>/<str:deed>/", pages.act, name="webhook-endpoint-act"),
    path("notices/deliveries/<uuid:delivery_id>/", pages.delivery, name="webhook-delivery"),
    path("notices/deliveries/<uuid:delivery_id>/resend/", pages.resend, name="webhook-delivery-resend"),
    path("unsubscribe/<str:ticket>/", pages.unsubscribe, name="unsubscribe"),
]
