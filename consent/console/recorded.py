"""Records changes made on allauth's pages for passwords and second factors in the access trail.

These views are allauth's and call no service of ours that would write an event. So each POST runs in one transaction
together with its events. Second factors are compared before and after, because allauth sends their signals after the
commit; its signals about passwords come within the transaction. No other module listens to another package's signals.
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
    """Decorate a view: its POST is one transaction, so that its changes and their events are stored together or not."""

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
    """The same URL patterns, with `recorded` around each view."""
    found: list[URLPattern | URLResolver] = []
    for each in patterns:
        if isinstance(each, URLPattern):
            found.append(URLPattern(each.pattern, recorded(each.callback), each.default_args, each.name))
        else:
            within = all_recorded(each.url_patterns)
            found.append(URLResolver(each.pattern, within, each.default_kwargs, each.app_name, each.namespace))
    return found


def _note(kind: EventKind, user: User) -> None:
    # The actor is the account's person, even if somebody else is signed in there: the link stands for the person.
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
