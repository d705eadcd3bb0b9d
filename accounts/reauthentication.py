"""Reauthentication before acts that must not happen on a screen that somebody left open (`access.Act`)."""

from typing import NoReturn, cast

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse

from .access import Actor
from .models import User


def confirm_person(request: HttpRequest) -> NoReturn:
    """Ask for reauthentication: call it in a view whose service refused an unconfirmed actor. Never returns.

    It raises an exception that allauth's middleware answers with a page that asks for the password or the second
    factor. After that the same request is repeated.
    """
    raise ReauthenticationRequired


def session_actor(request: HttpRequest) -> Actor:
    """The actor of the signed-in user; every page and API view makes it once per request."""
    return Actor.from_user(cast(User, request.user), confirmed=is_confirmed(request))


def is_confirmed(request: HttpRequest) -> bool:
    """Whether the user authenticated within the last ACCOUNT_REAUTHENTICATION_TIMEOUT seconds."""
    try:
        _check(request)
    except ReauthenticationRequired:
        return False
    return True


@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
def _check(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()
