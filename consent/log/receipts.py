"""Receipts of events: what whoever may read an event can show to anybody, at any time after.

A receipt is checked before it is given out, so none leaves that does not hold.
"""

import logging
import re
from typing import Any, ClassVar, NamedTuple

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.access import Actor, NotFound

from .. import ledger
from ..errors import ServiceError
from ..models import ConsentEvent, EventPosition, LogCheckpoint
from ..proofs import note, tree
from ..proofs.errors import ProofError
from ..proofs.note import Verifier
from ..proofs.receipt import WORDS, Receipt, verify
from . import checkpoints, keys, origins, store

logger = logging.getLogger(__name__)
_NUMBER = re.compile("[1-9][0-9]{0,17}", re.ASCII)


class NoLog(ServiceError):
    http_status: ClassVar[int] = 404

    def __init__(self) -> None:
        super().__init__("log_off", _("This installation keeps no log, so there are no receipts."))


class NotLogged(ServiceError):
    """The next checkpoint has it; `seconds` is when to come back."""

    http_status: ClassVar[int] = 409

    def __init__(self) -> None:
        super().__init__("not_logged_yet", _("The event is not in a signed checkpoint yet. Try again in a moment."))
        every = settings.LOG_CHECKPOINT_SECONDS
        self.seconds = 1 + (every - int(ledger.clock().timestamp()) % every if every else 0)


class Erased(ServiceError):
    http_status: ClassVar[int] = 410

    def __init__(self) -> None:
        super().__init__("salt_erased", _("What links this event to the log was erased, so there is no receipt of it."))


class Inconsistent(ServiceError):
    def __init__(self) -> None:
        super().__init__("log_inconsistent", _("The log and the ledger contradict each other here. We have been told."))


class Given(NamedTuple):
    """A receipt that holds, and a key that signed its checkpoint."""

    receipt: Receipt
    verifier: Verifier

    def data(self) -> dict[str, Any]:
        return self.receipt.data(self.verifier)


def get_event(actor: Actor, ident: str) -> ConsentEvent:
    """The event with this number, if the actor may read it (R4, R15). Raises NotFound, for foreign and absent alike;
    Forbidden for a key that may read no events."""
    number = int(ident) if _NUMBER.fullmatch(ident) else 0
    event = ConsentEvent.objects.readable_by(actor).filter(pk=number).first()
    if event is None:
        raise NotFound("event")
    return event


def receipt_of(event: ConsentEvent, actor: Actor) -> Given:
    """The receipt of an event, which `get_event` gave, under the last checkpoint.

    Raises NoLog, NotLogged, Erased, Inconsistent.

    Of words it has those that the reader may know. A reference is the provider's own: where there is one, customers get
    a receipt without words, because the salt that proves the reason would let them try out references.
    """
    if not keys.is_on():
        raise NoLog
    position = EventPosition.objects.filter(event=event).values_list("position", flat=True).first()
    last = checkpoints.latest()
    if position is None or last is None or position > last.size:
        raise NotLogged
    try:
        return _made(event, position, last, for_operator=actor.is_operator)
    except (ProofError, store.Corrupt) as error:
        store.REMEMBERED.forget()
        logger.error("no receipt of event %s: %s", event.pk, error)
        raise Inconsistent from error


def _made(event: ConsentEvent, position: int, last: LogCheckpoint, *, for_operator: bool) -> Given:
    logged = store.find(position)
    if logged is None:
        raise store.Corrupt(f"the log has no event at position {position}")
    if logged.blinding.entry:
        raise Erased
    words = {label: text for label in WORDS if (text := getattr(event, label))}
    told = bool(words) and (for_operator or not event.reference)
    verifiers = origins.verifiers()
    made = Receipt(
        body=logged.body,
        salt=logged.blinding.salt,
        index=position - 1,
        proof=tuple(tree.inclusion(store.Tree(remembers=True).read, position - 1, last.size)),
        checkpoint=last.note,
        words_salt=logged.blinding.words_salt if told else None,
        words=words if told else {},
    )
    verify(made, verifiers)
    return Given(made, note.open_note(last.note, verifiers).verified[0])
