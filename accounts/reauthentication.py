"""Asking who is there, once more, before what must not happen on a screen that somebody left open."""

from typing import NoReturn, cast

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse

from .access import Actor
from .models import User


def confirm_person(request: HttpRequest) -> NoReturn:
    """For a page whose service wants to know who is there: raises what allauth's middleware answers.

    That is a page that asks for the password or the second factor, and then does this very request, as it was sent.
    """
    raise ReauthenticationRequired


def session_actor(request: HttpRequest) -> Actor:
    """Whoever is signed in, as who acts: made once per request, by every face."""
    return Actor.from_user(cast(User, request.user), confirmed=is_confirmed(request))


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the person proved who they are within the last minutes (ACCOUNT_REAUTHENTICATION_TIMEOUT)."""
    try:
        _check(request)
    except ReauthenticationRequired:
        return False
    return True


@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
def _check(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()
