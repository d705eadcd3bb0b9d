"""What comes of a row, told from the row and what it meets: pure, and the same whoever asks.

While a file is read it is asked with a snapshot, page by page; when rows are applied, with rows that are locked. So
both say the same of the same, in the same words; and every fault of a row is named, not the first one alone.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from accounts.fields import from_micros

from .. import rules
from ..models import ImportTable
from ..rules import Choice, Reason, Span, State
from .parsing import Row

# '' is a row to be applied. PAST: it tells of what is over, and makes nothing.
APPLY, SAME, DIFFERING, PAST, BAD = "", "same", "differing", "past", "bad"
# Why a row that can be meant is not applied: besides, reasons of the rules.
EXISTS, PERSONAL, KNOWN, UNAPPROVED = "exists", "personal", "known", "unapproved"
REBIND = "Only an approved job of the kind “rebind” gives it to somebody else."
GIVEN_BEFORE = f"This external id has meant another organization. {REBIND} Give this one an id of its own."
_LEFT = ("status", "left_at")  # fields that say so
_OBSTACLES = {
    Reason.ORGANIZATION_OPTED_OUT: "has opted out: only it opts in again",
    Reason.LOCKED: "is locked",
    Reason.NO_SUBSCRIPTION: "has no subscription for this product",
    Reason.ORGANIZATION_CLOSED: "is closed",
}
_KNOWN_SINCE = (
    "The portal knows what happened here: data was not used for a while after that start. An earlier start can be"
    " attested only where nothing contrary is known; empty it."
)
_NOT_HELD = (
    "By what the file says this keeps the organization out, and here it is not so. See to that here first, or write "
    "opted_out as its choice."
)
_ONLY_THE_MEMBER = "Only the member opts in. Remove the row: who has not opted out goes with the organization."


class Fault(NamedTuple):
    """What keeps a row from being applied, or is left as it is: the field, its value, what to do; `code` counts it."""

    field: str
    value: str
    remedy: str
    code: str = BAD


class Verdict(NamedTuple):
    """`outcome` is APPLY where the row is to be applied; `told` is what is left as it is.

    `loosens`: it would, whatever else keeps it from being applied.
    """

    outcome: str = APPLY
    faults: tuple[Fault, ...] = ()
    told: Fault | None = None
    loosens: bool = False


class KnownMember(NamedTuple):
    """Somebody who is, or was, a member. `has_id`: the row's external id means them; `choice`: their own."""

    role: str = ""
    left: bool = False
    external_id: str = ""
    has_id: bool = True
    choice: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What a row meets. `state` is the organization's for the row's product, `plan_default` that of the row's plan."""

    now: dt.datetime
    exists: bool = True
    closed: bool = False
    personal: bool = False
    state: State = State()
    plan_default: str = ""
    denied: tuple[Span, ...] = ()  # when the layer was denied of which a start is to be attested
    live_since: dt.datetime | None = None  # from when on the row's plan is subscribed to here
    member: KnownMember | None = None
    id_taken: bool = False  # the row's external id means, or meant, another
    of_two: str = ""  # 'organization' or 'member', where the row's id and its external id are those of two


def judge_row(table: str, row: Row, met: Met) -> Verdict:
    """What comes of the row. A field that could not be read is empty, and nothing is said of it here."""
    if table == ImportTable.ORGANIZATIONS:
        return _new_organization(row, met)
    if met.of_two:
        beside = row.external_ident if met.of_two == "organization" else row.member_external_ident
        remedy = "The id and the external id of this row are those of two. Empty the one that is wrong."
        return _bad([Fault(f"{met.of_two}_external_id", beside, remedy)])
    if not met.exists:
        return _nobody(row)
    judge = {
        ImportTable.MEMBERS: _member,
        ImportTable.SUBSCRIPTIONS: _subscription,
        ImportTable.CHOICES: _member_choice if row.member_ident or row.member else _choice,
    }[ImportTable(table)]
    return judge(row, met)


def _new_organization(row: Row, met: Met) -> Verdict:
    """New as far as its row says: of one that is here the file tells what is otherwise (see `known`)."""
    faults = [Fault("external_id", row.external_id, GIVEN_BEFORE)] if met.id_taken else []
    if not met.exists:
        remedy = "It has no external id, and there is no organization with this id. Give it an external id."
        faults.append(Fault("id", row.ident, remedy))
    loosens = row.choice == Choice.OPTED_IN or row.since is not None
    return _bad(faults) if faults else Verdict(loosens=loosens)


def _nobody(row: Row) -> Verdict:
    """Without an organization only what is over makes nothing: an opt-out wants somebody to be filed with."""
    if row.past or ("closed" in row.held and row.choice != Choice.OPTED_OUT):
        return Verdict(PAST)
    return _bad([Fault("organization", row.ident, "There is no such organization. Import it first.")])


def _bad(faults: Iterable[Fault], *, loosens: bool = False) -> Verdict:
    found = tuple(faults)
    return Verdict(found[0].code, found, loosens=loosens)


def _closed(row: Row) -> Fault:
    remedy = "The account is closed. Reopen it, or remove the row."
    return Fault("organization", row.ident, remedy, Reason.ORGANIZATION_CLOSED)


def _left_as_it_is(field: str, value: str, what: str) -> Fault:
    return Fault(field, value, f"It {what}. Left as it is.")


# --- Members ----------------------------------------------------------------------------------------------------------


def _member(row: Row, met: Met) -> Verdict:
    if met.member is not None:
        return _known_member(row, met.member)
    if row.past:
        return Verdict(PAST)
    faults = [_closed(row)] if met.closed else []
    if met.personal:
        remedy = "A personal organization has its owner and nobody else. Remove the row."
        faults.append(Fault("organization", row.ident, remedy, PERSONAL))
    if met.id_taken:
        remedy = f"Another member of this organization has, or had, this external id. Give each their own. {REBIND}"
        faults.append(Fault("external_id", row.external_id, remedy, EXISTS))
    return _bad(faults) if faults else Verdict(loosens=row.since is not None)


def _known_member(row: Row, member: KnownMember) -> Verdict:
    if row.past in _LEFT and not member.left:
        told = f"is here as {member.role}, and has left by what the file says"
        return Verdict(PAST, told=_left_as_it_is("email", row.email, told))
    differences = []
    if member.left and row.past not in _LEFT:
        differences.append("has left the organization")
    elif member.role != row.role:
        differences.append(f"is here as {member.role}")
    if not member.has_id:
        differences.append(f"has the external id “{member.external_id}”")
    if not differences:
        return Verdict(SAME)
    return Verdict(DIFFERING, told=_left_as_it_is("email", row.email, "; ".join(differences)))


# --- Subscriptions ----------------------------------------------------------------------------------------------------


def _subscription(row: Row, met: Met) -> Verdict:
    if row.ended is not None:
        goes_on = met.live_since is not None and met.live_since < from_micros(row.ended)
        told = "goes on here, and has ended by what the file says"
        return Verdict(PAST, told=_left_as_it_is("plan", row.plan, told) if goes_on else None)
    if row.plan and met.state.subscribed and met.state.plan == row.plan:
        return Verdict(SAME)
    if row.past:
        return Verdict(PAST)
    faults = [_closed(row)] if met.closed or met.state.closed else []
    if not row.plan:
        return _bad(faults) if faults else Verdict()
    after = rules.subscribe(met.state, row.plan, met.plan_default, met.now)
    faults += _since_faults(row, after, met)
    again = bool(met.state.plan) and after.allowed > met.state.allowed
    loosens = again or (row.since is not None and after.allowed)
    return _bad(faults, loosens=loosens) if faults else Verdict(loosens=loosens)


def _since_faults(row: Row, after: State, met: Met) -> list[Fault]:
    """Where no start is given, or nothing is used, none will be attested."""
    if row.since is None or not after.allowed or rules.may_attest(after, from_micros(row.since), met.denied):
        return []
    return [Fault("since", "", _KNOWN_SINCE, KNOWN)]


# --- Choices ----------------------------------------------------------------------------------------------------------


def _member_choice(row: Row, met: Met) -> Verdict:
    unread = "choice" in row.unread
    if not row.choice and not unread:
        return Verdict(SAME)
    if met.member is None:
        remedy = "The organization has no such member. Import the member first."
        return _bad([Fault("member", row.member_ident, remedy)])
    if unread or met.member.choice == row.choice:
        return Verdict(SAME)
    if row.choice == Choice.OPTED_IN:
        return _bad([Fault("choice", row.choice, _ONLY_THE_MEMBER)])
    return Verdict()


def _choice(row: Row, met: Met) -> Verdict:
    if "choice" in row.unread:
        return Verdict()
    unlike = _held_otherwise(row, met.state)
    if unlike and row.choice != Choice.OPTED_OUT:
        return _bad([Fault(unlike, "true", _NOT_HELD)])
    told = _left_as_it_is(unlike, "true", "is not so here") if unlike else None
    if not row.choice or row.choice == met.state.choice:
        return Verdict(SAME, told=told)
    if row.choice == Choice.OPTED_OUT:
        return Verdict(told=told)
    if obstacle := opt_in_refusal(met.state):
        why = _OBSTACLES[Reason(obstacle)]
        return Verdict(obstacle, told=_left_as_it_is("choice", row.choice, why))
    faults = _since_faults(row, rules.opt_in(met.state, met.now), met)
    return _bad(faults, loosens=True) if faults else Verdict(loosens=True)


def _held_otherwise(row: Row, state: State) -> str:
    """The first field by which the file says that the organization is kept out, where that is not so here; or ''.

    A carry is over once somebody has chosen.
    """
    here = {"closed": state.closed, "locked": state.locked}
    here["carried_over_from"] = bool(state.carry) or state.choice == Choice.OPTED_OUT
    return next((field for field in row.held if not here[field]), "")


def opt_in_refusal(state: State) -> str:
    """Why an opt-in by import passes over this state; '' where it does not (R13)."""
    if state.choice == Choice.OPTED_OUT:
        return Reason.ORGANIZATION_OPTED_OUT.value
    obstacle = rules.opt_in_obstacle(state)
    return obstacle.value if obstacle else ""
