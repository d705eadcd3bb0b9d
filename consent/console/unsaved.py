"""Keeps an opt-out submitted after the session ended, and saves it when the same person signs in again.

Only opt-outs are kept, and for one hour: an opt-in, which loosens, must be confirmed anew. The opt-out has to come from
a form that the portal rendered for that person (signed) and that passed the CSRF check. If another person signs in in
that browser, it is discarded.
"""

import copy
import time
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.signing import BadSignature, Signer
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.urls import Resolver404, resolve, reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts.models import User

from ..rules import Choice

_KEY = "unsaved_opt_out"
_KEPT = 3600  # seconds
_LONGEST = 100  # of the field that says which words were seen
_EVERYWHERE = "console:opt-out-everywhere"
_PLACES = frozenset({"console:le-chat", "console:privacy", "console:data-sharing", _EVERYWHERE})


def sign_person(user: User) -> str:
    """The person's signed id for a hidden field: after the session has ended nothing else tells whose form it was."""
    return _signer().sign(str(user.pk))


def keep(request: HttpRequest) -> None:
    """Tell the person that a POST was not saved; keep an opt-out in the session, to be saved after signing in."""
    if request.method != "POST":
        return
    person = _person(request)
    if person is not None and _is_opt_out(request.path, request.POST.get("choice", "")):
        request.session[_KEY] = {
            "person": person,
            "path": request.path,
            "shown": request.POST.get("shown", "")[:_LONGEST],
            "at": int(time.time()),
        }
        messages.warning(request, _("You were signed out. Your change is not saved yet: it will be when you sign in."))
    else:
        messages.warning(request, _("You were signed out. Nothing was saved: sign in and try again."))


def page_of(request: HttpRequest) -> str:
    """The page to open after signing in: for a POST the page that the form was on, because its target takes no GET."""
    if request.method != "POST":
        return request.get_full_path()
    here = request.headers.get("Referer", "")
    if here and url_has_allowed_host_and_scheme(here, {request.get_host()}, require_https=request.is_secure()):
        parts = urlsplit(here)
        return urlunsplit(("", "", parts.path or "/", parts.query, ""))
    name = _name_of(request.path)
    return reverse("console:data-controls") if name in ("console:data-sharing", _EVERYWHERE) else request.path


def resume(request: HttpRequest) -> HttpResponse | None:
    """Save the kept opt-out if it is this person's; returns a response to send in place of the page, or None."""
    if request.method != "GET" or _KEY not in request.session:
        return None
    kept: dict[str, Any] | None = request.session.pop(_KEY)
    if kept is None or kept["person"] != str(request.user.pk):
        return None
    if time.time() - kept.get("at", 0) > _KEPT:  # they may have chosen again since, on another device
        messages.warning(request, _("Nothing was saved: your choice is more than an hour old. Choose again."))
        return None
    # Calls the view again with a copy of the request that looks like the original POST.
    match = resolve(kept["path"])
    again = copy.copy(request)
    again.method, again.path, again.path_info = "POST", kept["path"], kept["path"]
    again.POST = QueryDict(urlencode({"choice": Choice.OPTED_OUT.value, "shown": kept.get("shown", "")}))
    again.htmx = False  # type: ignore[attr-defined]
    try:
        response: HttpResponse = match.func(again, *match.args, **match.kwargs)
    except (Http404, PermissionDenied):
        messages.error(request, _("Your change could not be saved: you no longer have access to that page."))
        return None
    leads_here = urlsplit(response.headers.get("Location", "")).path == request.path
    return None if leads_here else response  # the requested page itself shows the message that it is saved


def _person(request: HttpRequest) -> str | None:
    try:
        return _signer().unsign(request.POST.get("person", ""))
    except BadSignature:
        return None


def _is_opt_out(path: str, choice: str) -> bool:
    name = _name_of(path)
    return name == _EVERYWHERE or (name in _PLACES and choice == Choice.OPTED_OUT)


def _name_of(path: str) -> str:
    try:
        return resolve(path).view_name
    except Resolver404:
        return ""


def _signer() -> Signer:
    return Signer(salt="console.unsaved")
