"""What is refused while the database is in quarantine: whatever would let data be used, and giving the ledger out.

One rule for all interfaces: `consent.ledger` asks it for every event. What tightens is taken as ever.
"""

from collections.abc import Iterable

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..errors import Refused, Unavailable
from ..models import Choice, ConsentEvent, EventKind, Trouble
from . import guard

CODE = "restored"
_ALWAYS = frozenset(
    {
        EventKind.CHOICE_OPTED_IN,
        EventKind.LOCK_LIFTED,
        EventKind.ORGANIZATION_REOPENED,
        EventKind.SINCE_ATTESTED,
        # A lost event may have given the id to somebody else, who has opted out.
        EventKind.EXTERNAL_ID_GIVEN,
        EventKind.EXTERNAL_ID_REBOUND,
    }
)
# These, where they say "in": also where something else keeps it out now, a lock for instance.
_IF_IN = frozenset({EventKind.CHOICE_CONFIRMED, EventKind.CHOICE_RESTORED})

_NOT_VOUCHED = _("Nobody who sees the witness file has said yet that this is the database that was witnessed.")


def in_words() -> str | Promise:
    """Why the database is in quarantine; '' if it is not."""
    why = guard.trouble()
    return why and (_NOT_VOUCHED if why == guard.NOT_VOUCHED else Trouble(why).label)


def loosens(event: ConsentEvent) -> bool:
    """Whether the event lets data be used that could not be used before, or is meant to."""
    if event.kind in _ALWAYS or (event.kind in _IF_IN and event.after == Choice.OPTED_IN):
        return True
    if event.kind == EventKind.SINCE_RESTARTED:  # what was allowed is, of later data: an adopted restore writes it
        return False
    if event.kind == EventKind.COOLING_OFF_CHANGED:
        return int(event.after) < int(event.before)
    return event.allowed and event.since == event.recorded_at


def refuse_events(events: Iterable[ConsentEvent]) -> None:
    """Raise Refused (409) in quarantine if any of the events loosens."""
    if guard.quarantined() and any(map(loosens, events)):
        raise _refused()


def refuse() -> None:
    """Raise Refused (409) in quarantine: for what prepares an event that loosens, such as submitting a job."""
    if guard.quarantined():
        raise _refused()


def _refused() -> Refused:
    return Refused(
        CODE,
        _(
            "The database may be older than what was stored last, so nothing can be allowed until that is settled. "
            "Opting out, locking and leaving are possible."
        ),
    )


def require_whole() -> None:
    """Raise Unavailable (503) in quarantine: for what is given out of the ledger, such as feeds and snapshots."""
    if guard.quarantined():
        raise Unavailable(
            CODE,
            _("The database may be older than what was stored last, so this is not given out until that is settled."),
        )
