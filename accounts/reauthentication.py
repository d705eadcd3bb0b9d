"""Asking who is there, once more, before what must not happen on a screen that somebody left open."""

from allauth.account.decorators import reauthentication_required
from allauth.core.exceptions import ReauthenticationRequired
from django.http import HttpRequest, HttpResponse


def confirm_person(request: HttpRequest) -> None:
    """Go on if the person proved who they are within the last minutes (ACCOUNT_REAUTHENTICATION_TIMEOUT).

    Otherwise raises what allauth's middleware answers: a page that asks for the password or the second factor, and
    then does this very request, as it was sent. Not for requests of htmx, which would swap that page into another.
    """
    _check(request)


def is_confirmed(request: HttpRequest) -> bool:
    """Whether `confirm_person` would go on."""
    try:
        _check(request)
    except ReauthenticationRequired:
        return False
    return True


@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
def _check(_request: HttpRequest) -> HttpResponse:
    return HttpResponse()
