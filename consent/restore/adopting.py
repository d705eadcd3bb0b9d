"""Adopts a restored database: notes what is lost, says every lost no once more, and begins an epoch.

All of it is one transaction, undone on failure. The line of the witness follows it; where that was not written, the
same command writes it, and nothing else.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from django.db import transaction
from django.utils import timezone

from accounts.access import Actor
from accounts.fields import to_micros

from .. import ledger
from ..errors import Refused
from ..log import origins
from ..models import ConsentEvent, Installation, Restore, Trouble
from ..proofs.errors import ProofError
from ..proofs.witness import START, Line, chained
from ..proofs.witness_files import Held, Witness
from ..services import layers, restored
from ..services.restored import LostPosition
from ..witness import chain, judging
from .applying import Applier, loosened
from .asked import Act, Asked, Key, ident
from .replay import Replay
from .survey import NothingInCommon, Survey, survey

_LINE = 500  # events in one line of the witness
# Ids of events that are left out beyond as many as positions are lost: ids have gaps, positions have none.
_IDS_A_POSITION, _IDS_MORE = 10, 1_000_000
MOST_LOST = 100_000_000
OnStep = Callable[[int], None]


class NotWitnessed(Exception):
    """The database was adopted, but the witness has no line of it yet: the same command writes it."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Where this database stands. `trouble`: why it is in quarantine, '' if it is not; `line`: the witness's last.

    `unfinished`: it was adopted already, and only the line of the witness is missing.
    """

    trouble: str
    epoch: int
    pending: int
    line: Line | None
    survey: Survey
    unfinished: bool = False

    @property
    def whole(self) -> bool:
        """Whether nothing is lost that anybody knows of."""
        return not (self.survey.number or self.trouble or self.unfinished)


@dataclasses.dataclass(frozen=True)
class Adopted:
    """What was done. `complete`: a copy told of every lost position, and the witness confirmed it; `log`: the origin
    under which the log goes on, "" without a log; `log_paused`: only once log_resume says so."""

    epoch: int
    survey: Survey
    done: Mapping[Act, int]
    unknown: list[str]
    complete: bool
    # Layers that allowed use when they were lost, and do not here.
    loosened: list[Key]
    log: str = ""
    log_paused: bool = False


def files() -> Witness:
    return judging.witness() or Witness(())


def look(*, replay: Replay | None = None, lost_to: int = 0) -> Found:
    """Where this database stands; changes nothing. Raises Refused if the witness is another installation's, and what
    reading the witness raises.
    """
    witness, facts = files(), judging.facts()
    line = witness.last()
    if line is not None and line.installation != str(facts.installation):
        text = "The witness file is of another installation (%s). Set WITNESS to this one's."
        raise Refused("other_installation", text % line.installation)
    ahead = Restore.objects.filter(epoch=facts.epoch).first() if line and line.epoch < facts.epoch else None
    try:
        found = survey(witness, _hash_at, told=replay.changes if replay else None, lost_to=lost_to)
    except NothingInCommon:
        text = "The witness and this database have no position in common: one of them is not this installation's."
        raise Refused("nothing_in_common", text) from None
    if ahead is not None:
        found = dataclasses.replace(found, lost_to=found.restored_to, lost={})
    trouble = facts.quarantine or (judging.verdict(line, facts) if line else "")
    if line is None and facts.kept:
        trouble = trouble or Trouble.WITNESS_LOST
    return Found(trouble, facts.epoch, ledger.pending(), line, found, unfinished=ahead is not None)


def _hash_at(line: Line) -> str | None:
    return chain.hash_at(line.position, line.after, line.previous)


def adopt(
    *,
    actor: Actor,
    reason: str,
    replay: Replay | None = None,
    tail_unknown: bool = False,
    lost_to: int = 0,
    on_step: OnStep = lambda _number: None,
) -> Adopted:
    """Adopt this database as restored. `tail_unknown`: nobody knows what was lost, so everybody is opted out; then
    `lost_to` is the last position that any reader has met.

    Raises Forbidden, Invalid without a reason; Refused if there is nothing to adopt, or lost positions are unknown to
    everybody and `tail_unknown` was not said, or was said though there is a witness.
    """
    reason = layers.clean_text(reason, "reason", required=True)
    restored.origin(actor, reason)
    witness = files()
    with witness.held() if witness.paths else contextlib.nullcontext() as held:
        found = look(replay=replay, lost_to=lost_to)
        if found.unfinished:
            _write_line(held, Restore.objects.get(epoch=found.epoch))
            return Adopted(found.epoch, found.survey, {}, [], complete=False, loosened=[])
        _refuse(found, tail_unknown=tail_unknown)
        with transaction.atomic():
            ledger.hold_sequence()
            found = look(replay=replay, lost_to=lost_to)
            adopted, restore = _Adoption(found, actor, reason, replay or Replay()).run(tail_unknown, on_step)
        _write_line(held, restore)
    return adopted


def _refuse(found: Found, *, tail_unknown: bool) -> None:
    if found.whole and not tail_unknown:
        raise Refused("nothing_lost", "Nothing is lost: this database is the one that was witnessed.")
    if found.survey.number > MOST_LOST:
        raise Refused("too_far", f"That is too far beyond what is here: {found.survey.lost_to:,}.")
    if tail_unknown and found.survey.witnessed and not look().survey.unknown:
        text = "There is a witness: it tells what was lost, so nobody has to be opted out. Leave out --tail-unknown."
        raise Refused("witnessed", text)
    if found.survey.unknown and not tail_unknown:
        text = (
            "Of %s lost positions nothing is known. Give copies of them by --replay; where nobody has any, and the "
            "witness is lost too, --tail-unknown opts everybody out."
        )
        raise Refused("unknown", text % f"{found.survey.unknown:,}")
    if found.trouble == Trouble.WITNESS_LOST and not (tail_unknown or found.survey.number):
        text = "There is no witness. If this database is whole, say so by restore witness --rebuild."
        raise Refused("witness_lost", text)


# --- In the transaction -----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Adoption:
    found: Found
    actor: Actor
    reason: str
    replay: Replay

    def run(self, tail_unknown: bool, on_step: OnStep) -> tuple[Adopted, Restore]:
        told = self.found.survey
        restore, by = self._begin()
        applier = Applier(self.actor, by, self.replay.words)
        asked = told.asked()
        asked.known = complete = self.replay.confirms(self.found.line, told)
        _name_pending(asked)
        applied = applier.opt_out_everything(on_step) if tail_unknown else applier.apply(asked, on_step)
        looser = loosened(asked)
        done = Adopted(restore.epoch, told, applied.done, applied.unknown, complete, looser)
        return dataclasses.replace(done, log=str(origins.current() or ""), log_paused=origins.is_paused()), restore

    def _begin(self) -> tuple[Restore, ledger.Origin]:
        """Begin the epoch, and fill the positions that were lost."""
        told, line = self.found.survey, self.found.line
        epoch = max(self.found.epoch, line.epoch if line else 0) + 1
        # First of all, so that no reader takes an event of the new epoch for a lost one.
        ledger.skip_ids(_IDS_A_POSITION * told.number + _IDS_MORE)
        restore = restored.begin_epoch(
            epoch=epoch, restored_to=told.restored_to, lost_to=told.lost_to, actor=self.actor, reason=self.reason
        )
        # The log of before may have gone on without this ledger, also where this one never signed. Without a witness
        # nobody knows whether this epoch, and so this origin, was begun once already, and is lost.
        origins.begin_next(paused=line is None)
        by = restored.origin(self.actor, f"restored {timezone.now():%Y-%m-%d}")
        restored.place_lost(_lost_positions(told), by)
        Installation.objects.update(
            epoch=epoch, quarantine="", quarantined_at=None, witness_kept=line is not None, witnessed_position=0
        )
        return restore, by


def _lost_positions(told: Survey) -> Iterator[LostPosition]:
    """Those that no event has here."""
    for position in range(max(told.head, told.restored_to) + 1, told.lost_to + 1):
        change = told.lost.get(position)
        if change is None:
            yield LostPosition(position)
        else:
            yield LostPosition(position, change.kind, change.organization, change.member)


def _name_pending(asked: Asked) -> None:
    """Events without a position may have the ids of lost ones, which readers know: their layers are told once more."""
    rows = ConsentEvent.objects.filter(placed=None, organization__isnull=False).exclude(product="")
    for organization, member, product in rows.order_by().values_list("organization_id", "member_id", "product"):
        asked.name(str(organization), ident(member), product or "")


# --- The witness's line -----------------------------------------------------------------------------------------------


def _write_line(held: Held | None, restore: Restore) -> None:
    """Begin the new epoch in the witness. Without one there is nothing to go on from, and the worker begins it."""
    if held is None or (last := held.last()) is None or last.epoch >= restore.epoch:
        return
    previous = _hash_before(held.witness, restore.restored_to)
    until = min(ledger.head(), restore.restored_to + _LINE)
    events = list(chain.events(restore.restored_to, until))
    try:
        held.append([_line(last, restore, previous, until, events)])
    except (OSError, ProofError) as error:
        raise NotWitnessed(str(error)) from error
    # The worker may have found the database ahead of its witness meanwhile.
    Installation.objects.filter(epoch=restore.epoch).update(quarantine="", quarantined_at=None)


def _line(last: Line, restore: Restore, previous: str, until: int, events: Sequence[chain.Witnessed]) -> Line:
    return Line(
        installation=last.installation,
        epoch=restore.epoch,
        after=restore.restored_to,
        position=until,
        previous=previous,
        hash=chained(previous, (event.text for event in events)),
        recorded_at=events[-1].recorded_at if events else 0,
        events=until,
        written_at=to_micros(timezone.now()),
        changes=tuple(event.change for event in events),
        restored_to=restore.restored_to,
    )


def _hash_before(witness: Witness, position: int) -> str:
    """The hash at a position, by the last line that covers it; START where none does."""
    found = START
    for line in witness.lines():
        if line.after <= position <= line.position:
            found = chain.hash_at(position, line.after, line.previous) or found
    return found
