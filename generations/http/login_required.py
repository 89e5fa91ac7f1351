"""Who may enter: people who are logged in."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, cast

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django_htmx.http import HttpResponseClientRefresh

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django_htmx.middleware import HtmxDetails

P = ParamSpec("P")


class UserRequest(HttpRequest):
    user: User
    htmx: HtmxDetails


def login_required(
    view: Callable[Concatenate[UserRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Everybody else is asked to log in, and comes back to where they were going."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        member = cast("UserRequest", request)
        if request.user.is_authenticated:
            return view(member, *args, **kwargs)
        if member.htmx:
            # A session that ended while its page polls: the login page belongs into the window, not into a fragment.
            return HttpResponseClientRefresh()
        return redirect_to_login(request.get_full_path())

    return guarded


def actor_of(user: User) -> str:
    """How the timeline names this user as the actor of an event."""
    return f"user:{user.get_username()}"
