"""The pages that look: the list of one's generations, one of them, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast
from uuid import UUID, uuid4

from csp.constants import SELF, WASM_UNSAFE_EVAL
from csp.decorators import csp_update
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from generations import lifecycle
from generations.errors import NotFinished
from generations.http import pagination
from generations.http.login_required import UserRequest, actor_of, login_required
from generations.models import CancelledBy, Generation, Status
from generations.pages.presenters import STORED, Showing

# On pages with <model-viewer> 4.4.0 alone: the hash of the one style inside it, which admits that text and no other,
# and WebAssembly, in which its decoder of compressed meshes is written.
VIEWER_POLICY = {
    "style-src": [SELF, "'sha256-PXtZZkJMMyc18o/DN1ZEFOJ2qEGq95IQbVaJFMOXOb0='"],
    "script-src": [SELF, WASM_UNSAFE_EVAL],
}
KINDS = {"image": "Pictures", "video": "Videos", "3d": "3D models", "audio": "Sounds"}
STATUSES = {
    Status.PENDING: "Pending",
    Status.PROCESSING: "In the making",
    Status.COMPLETED: "Complete",
    Status.FAILED: "Not made",
}
CANCEL_ANSWERS = {
    "released": "Cancelled. Your credits are back.",
    "asked": "The provider has been asked to stop. Its answer decides whether this is charged.",
    "finished": "It was finished already, so it could not be cancelled.",
}


# csp's types know only of views that take a request and nothing else.
render_with_viewer = cast("Callable[..., HttpResponse]", csp_update(VIEWER_POLICY)(render))  # type: ignore[arg-type]


@require_safe
@login_required
def generations(request: UserRequest) -> HttpResponse:
    mine = Generation.objects.visible_to(request.user).prefetch_related(STORED)
    page = pagination.newest(_filtered(mine, request.GET), before=request.GET.get("before"))
    context = {"page": page, "cards": list(map(Showing, page.rows)), "kinds": KINDS, "statuses": STATUSES}
    return render(request, "pages/library.html", context)


@require_safe
@never_cache
@login_required
def generation(request: UserRequest, generation_id: UUID) -> HttpResponse:
    shown = Showing(_mine(request, generation_id))
    show = render_with_viewer if shown.generation.kind == "3d" else render
    return show(request, "pages/generation.html", {"shown": shown, "nonce": uuid4().hex})


@require_safe
@never_cache
@login_required
def status(request: UserRequest, generation_id: UUID) -> HttpResponse:
    shown = Showing(_mine(request, generation_id))
    if request.GET.get("version") == str(shown.generation.version):
        # No news: htmx leaves the page, and whatever has the focus, as it is.
        return HttpResponse(status=204)
    return render(request, "pages/_status.html", {"shown": shown, "nonce": uuid4().hex, "is_news": True})


@require_POST
@login_required
def cancel(request: UserRequest, generation_id: UUID) -> HttpResponse:
    mine = _mine(request, generation_id)
    answer = lifecycle.cancel_asked(mine, by=CancelledBy.CUSTOMER, actor=actor_of(request.user))
    messages.info(request, CANCEL_ANSWERS[answer])
    return redirect("generation", mine.pk)


@require_POST
@login_required
def erase(request: UserRequest, generation_id: UUID) -> HttpResponse:
    mine = _mine(request, generation_id)
    try:
        lifecycle.erase(mine, actor=actor_of(request.user))
    except (NotFinished, lifecycle.GenerationInUse) as error:
        messages.error(request, str(error))
    else:
        messages.info(request, "Erased: what was asked for, and every file. What it cost stays in your statement.")
    return redirect("generation", mine.pk)


def _mine(request: UserRequest, generation_id: UUID) -> Generation:
    return get_object_or_404(Generation.objects.visible_to(request.user).prefetch_related(STORED), pk=generation_id)


def _filtered(rows: QuerySet[Generation], asked: QueryDict) -> QuerySet[Generation]:
    """What no filter knows is ignored, so that an old link still shows something."""
    if asked.get("kind") in KINDS:
        rows = rows.filter(kind=asked["kind"])
    if asked.get("status") in STATUSES:
        rows = rows.filter(status=asked["status"])
    return rows
