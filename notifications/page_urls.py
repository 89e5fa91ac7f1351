"""URLs of the pages of the notifications app. `config.urls` includes them."""

from django.urls import path

from notifications import pages

urlpatterns = [
    path("notices/", pages.notifications, name="notifications"),
    path("notices/mail/", pages.email_preference, name="email-preference"),
    path("notices/secret/", pages.rotate_account_secret, name="webhook-secret"),
    path("notices/endpoints/", pages.create_endpoint, name="webhook-endpoint-add"),
    path("notices/endpoints/<uuid:endpoint_id>/<str:action>/", pages.endpoint_action, name="webhook-endpoint-action"),
    path("notices/deliveries/<uuid:delivery_id>/", pages.delivery, name="webhook-delivery"),
    path("notices/deliveries/<uuid:delivery_id>/resend/", pages.resend, name="webhook-delivery-resend"),
    path("unsubscribe/<str:token>/", pages.unsubscribe, name="unsubscribe"),
]
