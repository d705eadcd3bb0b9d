"""Names for the actors of events, looked up when shown: the ledger holds ids only (R14)."""

from collections.abc import Iterable
from typing import Any

from django.conf import settings as conf
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.fields import parse_id
from accounts.models import ApiKey, User

from ..models import ActorType, ConsentEvent


def labels(events: Iterable[ConsentEvent], viewer: Actor) -> dict[int, str]:
    """Event id → the actor's name as this viewer may know it; at most two queries.

    Customers learn that the provider acted, but not which of its people.
    """
    events = list(events)
    ids = {event.actor_type: set[Any]() for event in events}
    for event in events:
        ids[event.actor_type].add(parse_id(event.actor_id))
    # A command may act for a person; its actor id is then the person's.
    people = ids.get(ActorType.USER, set()) | ids.get(ActorType.COMMAND, set())
    users = User.objects.in_bulk(people - {None}) if people else {}
    keys = ApiKey.objects.in_bulk(ids.get(ActorType.API_KEY, set()) - {None}) if ActorType.API_KEY in ids else {}
    return {
        event.pk: str(capfirst(conf.PROVIDER_NAME))
        if event.by_operator and not viewer.is_operator
        else _label(event, users, keys)
        for event in events
    }


def _label(event: ConsentEvent, users: dict[Any, User], keys: dict[Any, ApiKey]) -> str:
    pk = parse_id(event.actor_id)
    match event.actor_type:
        case ActorType.API_KEY:
            return _("API key %(name)s") % {"name": str(keys[pk])} if pk in keys else _("a removed API key")
        case ActorType.USER:
            return str(users[pk]) if pk in users else _("a removed user")
        case ActorType.COMMAND:
            return _("%(name)s, by command") % {"name": str(users[pk])} if pk in users else _("a command")
    return _("the system")
