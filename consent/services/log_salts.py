"""Erasing the salt of an event: from then on nobody can show what its leaf in the log says."""

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Permission, require

from ..errors import Invalid, Refused
from ..log import store
from ..models import ConsentEvent, EventKind, EventSalt, Source
from . import layers, trail


@transaction.atomic
def erase_salt(*, position: int, reason: str, actor: Actor, source: str = Source.COMMAND) -> ConsentEvent:
    """Erase the salts of the event at a position of the log, for good; the event, its leaf and the tree stay.

    Receipts that were given out before go on proving what they say. Raises Forbidden, Invalid if the log has no such
    position or there is no reason, Refused if it was erased before.
    """
    require(actor, Permission.OPERATORS_MANAGE, None)
    reason = layers.clean_text(reason, "reason", required=True)
    if not EventSalt.objects.select_for_update().filter(pk=position).exists():
        raise Invalid("not_logged", _("The log has no event at position %(n)s.") % {"n": position}, "position")
    found = store.find(position)
    if found is None or found.blinding.entry:
        raise Refused("erased", _("The salt of position %(n)s was erased before.") % {"n": position})
    event = trail.note(
        EventKind.LOG_SALT_ERASED, organization=None, actor=actor, source=source, target=position, reason=reason
    )
    # Past the manager, which knows of no updates: this is the one that the triggers allow.
    EventSalt._base_manager.filter(pk=position).update(
        salt=b"", words_salt=b"", actor_salt=b"", reason_digest="", reference_digest="", actor_digest="",
        entry=found.entry,
    )  # fmt: skip
    return event
