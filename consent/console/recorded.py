"""allauth's pages for passwords and second factors, whose changes are written into the access trail.

These views are not ours: no service of ours is called that could write the event. So each change runs in one
transaction with what it leaves behind: second factors are compared before and after, because allauth's signals about
them come after the commit; passwords are told of by its signals, which come within. This is the only module of the
portal that hears signals of others.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from allauth.account import signals
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, URLResolver

from accounts.access import Actor
from accounts.models import User

from ..models import EventKind, Source
from ..services import sign_in

View = Callable[..., HttpResponseBase]


def recorded(view: View) -> View:
    """The view, whose POST is one transaction: what it changes and the events of that, or neither."""

    @functools.wraps(view)
    def run(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        with transaction.atomic():
            person = request.user if isinstance(request.user, User) else None
            before = sign_in.factors_of(person) if person else {}
            response = view(request, *args, **kwargs)
            if person:
                actor = Actor.from_user(person)
                sign_in.note_factors(person=person, before=before, actor=actor, source=Source.ACCOUNT)
            return response

    return run


def all_recorded(patterns: Iterable[URLPattern | URLResolver]) -> list[URLPattern | URLResolver]:
    """The same addresses and names, each view recorded."""
    found: list[URLPattern | URLResolver] = []
    for each in patterns:
        if isinstance(each, URLPattern):
            found.append(URLPattern(each.pattern, recorded(each.callback), each.default_args, each.name))
        else:
            within = all_recorded(each.url_patterns)
            found.append(URLResolver(each.pattern, within, each.default_kwargs, each.app_name, each.namespace))
    return found


def _note(kind: EventKind, user: User) -> None:
    # Whoever has the link for a new password is taken for the person, whoever else is signed in there.
    sign_in.note_password(kind, person=user, actor=Actor.from_user(user), source=Source.ACCOUNT)


def _password_set(user: User, **_rest: Any) -> None:
    _note(EventKind.ACCESS_PASSWORD_SET, user)


def _password_changed(user: User, **_rest: Any) -> None:
    _note(EventKind.ACCESS_PASSWORD_CHANGED, user)


def _password_reset(user: User, **_rest: Any) -> None:
    _note(EventKind.ACCESS_PASSWORD_RESET, user)


signals.password_set.connect(_password_set, dispatch_uid="trail.password_set")
signals.password_changed.connect(_password_changed, dispatch_uid="trail.password_changed")
signals.password_reset.connect(_password_reset, dispatch_uid="trail.password_reset")
