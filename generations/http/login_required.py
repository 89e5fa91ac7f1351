"""Requires a login for HTML pages, and names the logged-in user as the actor of events.

Django's own decorator would answer an htmx request with a redirect, which htmx follows: the login page would appear
inside a fragment of the page.
"""

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
    """A request of a logged-in user, as the middleware has prepared it. For type checking only."""

    user: User
    htmx: HtmxDetails


def login_required(
    view: Callable[Concatenate[UserRequest, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Decorate a view: a visitor who is not logged in is sent to the login page, and sent back afterwards."""

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        user_request = cast("UserRequest", request)
        if request.user.is_authenticated:
            return view(user_request, *args, **kwargs)
        if user_request.htmx:
            # The session ended while the page was polling. Reloading the page leads to the login.
            return HttpResponseClientRefresh()
        return redirect_to_login(request.get_full_path())

    return guarded


def actor_of(user: User) -> str:
    """Return the name of this user as the actor of an event."""
    return f"user:{user.get_username()}"
