"""URLs of fal's callbacks, below /hooks/."""

from django.urls import path

from generations.callbacks.views import fal_callback

urlpatterns = [
    # With and without the slash: fal never repeats a callback that was answered with a redirect.
    path("fal/<uuid:submission_id>/<str:token>", fal_callback, name="fal-callback"),
    path("fal/<uuid:submission_id>/<str:token>/", fal_callback),
]
