"""A person says how they are called, and in which language and time zone they read.

No event is written: nobody's rights and no choice depend on these, and the ledger holds no names (R14).
"""

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _

from accounts import time_zones
from accounts.access import Actor, ActorType, Forbidden
from accounts.models import User

from ..errors import Invalid
from . import layers


@transaction.atomic
def change(*, actor: Actor, name: str, language: str, time_zone: str) -> User:
    """Store all three; '' for the language means that of the browser. Raises Forbidden for API keys, Invalid."""
    person = _lock(actor)
    person.name = layers.clean_name(name)
    person.language = _clean_language(language)
    person.time_zone = _clean_time_zone(time_zone)
    person.save(update_fields=["name", "language", "time_zone"])
    return person


@transaction.atomic
def choose_language(*, actor: Actor, language: str) -> User:
    """Store the language alone, as the switch on every page does. Raises Forbidden for API keys, Invalid."""
    person = _lock(actor)
    person.language = _clean_language(language)
    person.save(update_fields=["language"])
    return person


def _lock(actor: Actor) -> User:
    if actor.type != ActorType.USER or actor.user is None:
        raise Forbidden("profile")
    return User.objects.select_for_update().get(pk=actor.user.pk)


def _clean_language(code: str) -> str:
    if code and code not in dict(settings.LANGUAGES):
        raise Invalid("unknown_language", _("The portal doesn't speak this language."), "language")
    return code


def _clean_time_zone(name: str) -> str:
    if name and name not in time_zones.names():
        raise Invalid("unknown_time_zone", _("There is no such time zone."), "time_zone")
    return name
