"""URLs of the API resources of the notifications app, below /api/. `config.api_urls` includes them."""

from django.urls import path

from notifications.api import events, webhook_deliveries, webhook_endpoints

urlpatterns = [
    path("v1/events/", events.FeedView.as_view(), name="events"),
    path("v1/webhook-secret/", webhook_endpoints.SecretView.as_view(), name="webhook-secret"),
    path("v1/webhook-endpoints/", webhook_endpoints.EndpointsView.as_view(), name="webhook-endpoints"),
    path("v1/webhook-endpoints/<uuid:endpoint_id>/", webhook_endpoints.EndpointView.as_view(), name="webhook-endpoint"),
    path(
        "v1/webhook-endpoints/<uuid:endpoint_id>/test/",
        webhook_deliveries.TestView.as_view(),
        name="webhook-endpoint-test",
    ),
    path(
        "v1/webhook-endpoints/<uuid:endpoint_id>/rotate/",
        webhook_endpoints.RotateView.as_view(),
        name="webhook-endpoint-rotate",
    ),
    path("v1/webhook-deliveries/", webhook_deliveries.DeliveriesView.as_view(), name="webhook-deliveries"),
    path(
        "v1/webhook-deliveries/<uuid:delivery_id>/", webhook_deliveries.DeliveryView.as_view(), name="webhook-delivery"
    ),
    path(
        "v1/webhook-deliveries/<uuid:delivery_id>/resend/",
        webhook_deliveries.ResendView.as_view(),
        name="webhook-delivery-resend",
    ),
]
