"""The page of the pictures that one brought: what is there, how much room it takes, and the way to get rid of it."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from credits.models import Account
from generations.catalogue.files import MEGABYTE
from generations.files import uploads
from generations.http import pagination
from generations.http.login_required import UserRequest, login_required
from generations.models import Upload


@require_safe
@never_cache
@login_required
def show(request: UserRequest) -> HttpResponse:
    # What was refused or never came is of interest as long as it takes room.
    mine = Upload.objects.visible_to(request.user).taking_room()
    used = mine.annotate(used_by=Count("uses__generation", distinct=True))
    context = {
        "page": pagination.newest(used, before=request.GET.get("before")),
        "bytes_taken": uploads.bytes_taken(Account.objects.for_user(request.user)),
        "bytes_max": settings.UPLOAD_MEGABYTES_MAX * MEGABYTE,
    }
    return render(request, "pages/uploads.html", context)


@require_POST
@login_required
def erase(request: UserRequest, upload_id: UUID) -> HttpResponse:
    mine = get_object_or_404(Upload.objects.visible_to(request.user), pk=upload_id)
    try:
        uploads.erase(mine)
    except uploads.StorageUnavailable:
        messages.info(request, "Deleted. Storage does not answer just now: its room is free when the files are gone.")
    except uploads.UploadInUse as error:
        messages.error(request, str(error))
    else:
        messages.info(request, f"Deleted: {mine.file_name}.")
    return redirect("uploads")
