"""URLs of the pages of the notifications app."""

from django.urls import path

from notifications import pages

urlpatterns = [
    path("notices/", pages.show, name="notifications"),
    path("notices/mail/", pages.mail, name="email-preference"),
    path("notices/secret/", pages.secret, name="webhook-secret"),
    path("notices/endpoints/", pages.add, name="webhook-endpoint-add"),
    path("notices/endpoints/<uuid:endpoint_id>/<str:action>/", pages.act, name="webhook-endpoint-action"),
    path("notices/deliveries/<uuid:delivery_id>/", pages.delivery, name="webhook-delivery"),
    path("notices/deliveries/<uuid:delivery_id>/resend/", pages.resend, name="webhook-delivery-resend"),
    path("unsubscribe/<str:ticket>/", pages.unsubscribe, name="unsubscribe"),
]
