"""The library and the page of one generation: its progress, its files, and the buttons that cancel and erase it.

Every view begins with the generations that are visible to the user. The page of a running generation polls `status`,
through htmx or by reloading itself without JavaScript.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from uuid import UUID, uuid4

from csp.constants import SELF, WASM_UNSAFE_EVAL
from csp.decorators import csp_update
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from generations import lifecycle, services
from generations.errors import NotFinished
from generations.http import pagination
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.models import CancelledBy, Generation
from generations.pages.labels import KINDS, STATUSES
from generations.pages.presenters import STORED_OUTPUTS, GenerationPresenter

# Only on pages with <model-viewer> 4.4.0: the hash of the one style element inside it, which admits that text and no
# other, and WebAssembly, in which its decoder of compressed meshes is written.
VIEWER_POLICY = {
    "style-src": [SELF, "'sha256-PXtZZkJMMyc18o/DN1ZEFOJ2qEGq95IQbVaJFMOXOb0='"],
    "script-src": [SELF, WASM_UNSAFE_EVAL],
}
CANCEL_MESSAGES = {
    "released": "Cancelled. The reserved credits were released.",
    "asked": "The provider has been asked to cancel it. If it finishes nevertheless, it is charged.",
    "finished": "It had already finished, so it could not be cancelled.",
}

# The types of django-csp only know views whose single argument is the request.
render_with_viewer = cast("Callable[..., HttpResponse]", csp_update(VIEWER_POLICY)(render))  # type: ignore[arg-type]


@require_safe
@login_required
def library(request: UserRequest) -> HttpResponse:
    """Render the user's generations, newest first, filtered by `?kind=` and `?status=`."""
    generations = Generation.objects.visible_to(request.user).prefetch_related(STORED_OUTPUTS)
    # Unknown values are ignored, so an old bookmark still shows something.
    if (kind := request.GET.get("kind")) in KINDS:
        generations = generations.filter(kind=kind)
    if (status := request.GET.get("status")) in STATUSES:
        generations = generations.filter(status=status)
    page = pagination.newest(generations, before=request.GET.get("before"))
    context = {"page": page, "cards": list(map(GenerationPresenter, page.rows)), "kinds": KINDS, "statuses": STATUSES}
    return render(request, "pages/library.html", context)


@require_safe
@never_cache
@login_required
def generation(request: UserRequest, generation_id: UUID) -> HttpResponse:
    shown = GenerationPresenter(_get_generation(request, generation_id))
    # The wider policy applies only where the viewer is loaded.
    show = render_with_viewer if shown.generation.kind == "3d" else render
    return show(request, "pages/generation.html", {"shown": shown, "nonce": uuid4().hex})


@require_safe
@never_cache
@login_required
def status(request: UserRequest, generation_id: UUID) -> HttpResponse:
    """Render the progress as a fragment, which htmx polls. Answers 204 if nothing has changed since `?version=`."""
    shown = GenerationPresenter(_get_generation(request, generation_id))
    if request.GET.get("version") == str(shown.generation.version):
        # htmx then leaves the page, and the focus, as they are.
        return HttpResponse(status=204)
    return render(request, "pages/_status.html", {"shown": shown, "nonce": uuid4().hex, "is_update": True})


@require_POST
@login_required
def cancel(request: UserRequest, generation_id: UUID) -> HttpResponse:
    generation = _get_generation(request, generation_id)
    answer = services.cancel(generation, by=CancelledBy.CUSTOMER, actor=actor_of(request.user))
    messages.info(request, CANCEL_MESSAGES[answer])
    return redirect("generation", generation.pk)


@require_POST
@login_required
def erase(request: UserRequest, generation_id: UUID) -> HttpResponse:
    generation = _get_generation(request, generation_id)
    try:
        lifecycle.erase(generation, actor=actor_of(request.user))
    except (NotFinished, lifecycle.GenerationInUse) as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "The inputs and every file were erased. The charge remains in your statement.")
    return redirect("generation", generation.pk)


def _get_generation(request: UserRequest, generation_id: UUID) -> Generation:
    generations = Generation.objects.visible_to(request.user).prefetch_related(STORED_OUTPUTS)
    return get_object_or_404(generations, pk=generation_id)
