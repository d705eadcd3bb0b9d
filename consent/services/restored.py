"""What is written when a restored database is adopted: lost no's once more, new beginnings, and what was lost.

Each function takes settings that are locked and read after that, and writes an event for each that it changes, all of
one instant. Nothing here lets data be used that may not be used.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from accounts.access import Actor, Permission
from accounts.models import Member

from .. import ledger, rules
from ..errors import Refused
from ..models import ConsentEvent, EventKind, Lock, PrivacySetting, Restore, Source
from ..rules import Choice
from ..surfaces import Surface, member_surface, organization_surface
from . import choices, layers, members, trail
from .layers import Change

_PAGE = 500  # events at a time


class LockWords(NamedTuple):
    reason: str
    reference: str


def origin(actor: Actor, reason: str) -> ledger.Origin:
    """Who adopts. Raises Forbidden for anybody but an operator, by command."""
    return layers.origin(actor, Source.COMMAND, Permission.LOCKS_MANAGE, None, reason=reason)


def opt_out(settings: Iterable[PrivacySetting], by: ledger.Origin) -> list[PrivacySetting]:
    """Opt these layers out, organizations' or members'; returns those that were not out already."""
    unsaid = [each for each in settings if each.choice != Choice.OPTED_OUT]
    if unsaid:
        at = _at(unsaid)
        choices.choose_many([choices.Chosen(each, Choice.OPTED_OUT, _surface(each)) for each in unsaid], by, at)
        _note_change(unsaid, at)
    return unsaid


def lock(
    settings: Iterable[PrivacySetting], by: ledger.Origin, words: Mapping[tuple[uuid.UUID, str], LockWords]
) -> list[PrivacySetting]:
    """Lock these organizations' layers, with reason and reference of `words` by organization and product, else the
    reason of all; returns those that were not locked already.
    """
    open_ones = [each for each in settings if not each.locked]
    if open_ones:
        at = _at(open_ones)
        usual = LockWords(by.reason, by.reason)
        Lock.objects.bulk_create(
            Lock(
                organization_id=each.organization_id,
                product=each.product,
                placed_at=at,
                **words.get((each.organization_id, each.product), usual)._asdict(),
            )
            for each in open_ones
        )
        kind = EventKind.LOCK_PLACED
        changes = [Change(each, kind, rules.lock(each.state, at), "unlocked", "locked") for each in open_ones]
        layers.write_many(changes, by, at)
        _note_change(open_ones, at)
    return open_ones


def restart(settings: Iterable[PrivacySetting], by: ledger.Origin) -> list[PrivacySetting]:
    """Let what these layers allow begin anew, and tell once more of those that don't; returns all of them."""
    found = list(settings)
    if found:
        at = _at(found)
        kind = EventKind.SINCE_RESTARTED
        layers.write_many([Change(each, kind, rules.restart(each.state, at)) for each in found], by, at)
        _note_change(found, at)
    return found


def leave(member: Member, actor: Actor) -> bool:
    """Let a member leave; returns whether they did: the last owner of a team does not."""
    try:
        members.remove_member(member=member, actor=actor, source=Source.COMMAND)
    except Refused:
        return False
    return True


def _at(settings: Sequence[PrivacySetting]) -> dt.datetime:
    return ledger.clock(*(each.changed_at for each in settings), *(each.organization.created_at for each in settings))


def _note_change(settings: Sequence[PrivacySetting], at: dt.datetime) -> None:
    for each in settings:
        each.changed_at = at


def _surface(setting: PrivacySetting) -> Surface | None:
    return member_surface(setting.product) if setting.member_id else organization_surface(setting.product)


# --- The epoch that begins --------------------------------------------------------------------------------------------


class LostPosition(NamedTuple):
    """A position that was given to an event that is lost, and what is known of that: '' where nothing is."""

    position: int
    kind: str = ""
    organization: str = ""
    member: str = ""


def begin_epoch(*, epoch: int, restored_to: int, lost_to: int, actor: Actor, reason: str) -> Restore:
    """Note that a restored database is adopted, and begin an epoch."""
    event = trail.note(
        EventKind.RESTORE_ADOPTED,
        organization=None,
        actor=actor,
        source=Source.COMMAND,
        target=epoch,
        after=f"{restored_to}, {lost_to}",
        reason=reason,
    )
    return Restore.objects.create(
        epoch=epoch, restored_to=restored_to, lost_to=lost_to, adopted_at=event.recorded_at, event=event
    )


def place_lost(lost: Iterable[LostPosition], by: ledger.Origin) -> int:
    """Give lost positions, in order and without a gap after the head, to events that say so; returns how many."""
    total, page = 0, []
    at = ledger.clock()
    for each in lost:
        page.append((each.position, _lost_event(each, by, at)))
        if len(page) == _PAGE:
            total += ledger.place(page)
            page = []
    return total + ledger.place(page)


def _lost_event(lost: LostPosition, by: ledger.Origin, at: dt.datetime) -> ConsentEvent:
    return ledger.event(
        EventKind.POSITION_LOST,
        organization=None,
        product=None,
        before=", ".join(filter(None, (lost.organization, lost.member))),
        after=lost.kind,
        target=str(lost.position),
        origin=by,
        at=at,
        state=ledger.NO_LAYER,
    )
