"""The page of the user's uploads: which there are, how much of the quota they use, and the button that deletes one."""

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
    # Rejected and unfinished uploads are listed as well, as long as they count towards the quota.
    counted = Upload.objects.visible_to(request.user).counted_in_quota()
    with_use = counted.annotate(used_by=Count("uses__generation", distinct=True))
    context = {
        "page": pagination.newest(with_use, before=request.GET.get("before")),
        "bytes_used": uploads.bytes_used(Account.objects.for_user(request.user)),
        "bytes_max": settings.UPLOAD_MEGABYTES_MAX * MEGABYTE,
    }
    return render(request, "pages/uploads.html", context)


@require_POST
@login_required
def erase(request: UserRequest, upload_id: UUID) -> HttpResponse:
    upload = get_object_or_404(Upload.objects.visible_to(request.user), pk=upload_id)
    try:
        uploads.erase(upload)
    except uploads.StorageUnavailable:
        # The row is erased already. The storage cleaner removes the files once the storage answers.
        messages.info(request, "Deleted. It counts towards your quota until its files are removed from storage.")
    except uploads.UploadInUse as error:
        messages.error(request, str(error))
    else:
        messages.info(request, f"Deleted: {upload.file_name}.")
    return redirect("uploads")
