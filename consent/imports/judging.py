"""Decides what comes of a row, from the row and what is stored about it. Pure: no database.

It is called while a file is read, with data that was read without locks, and again when rows are applied, with locked
data. So both give the same outcomes in the same words. All faults of a row are named, not only the first.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from accounts.fields import from_micros, squeezed
from accounts.models import OrganizationStatus

from .. import rules
from ..models import ImportTable
from ..rules import Choice, Reason, Span, State
from .parsing import Row

# APPLY: the row is to be applied. PAST: it is about something that is over, and creates nothing. OPT_OUT: it opts out a
# known organization, for the products of the plans where that is not opted out yet.
APPLY, SAME, DIFFERING, PAST, BAD, OPT_OUT = "", "same", "differing", "past", "bad", "opt_out"
# Why a valid row is not applied; reasons of the rules are used as well.
EXISTS, PERSONAL, KNOWN, UNAPPROVED = "exists", rules.PERSONAL, "known", "unapproved"
REBIND = "Only an approved job of the kind “rebind” gives it to somebody else."
GIVEN_BEFORE = f"This external id has meant another organization. {REBIND} Give this one an id of its own."
_LEFT = ("status", "left_at")  # fields which say that a member has left
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
_NOBODY = "Not here, and closed by what the file says: nothing is created, and its opt-out is filed with nobody."
_ONLY_THE_MEMBER = "Only the member opts in. Remove the row: who has not opted out goes with the organization."


class Fault(NamedTuple):
    """What keeps a row from being applied, or is left as it is: field, value, what to do; `code`: the row's outcome."""

    field: str
    value: str
    remedy: str
    code: str = BAD


class Verdict(NamedTuple):
    """What comes of a row: `outcome` is APPLY if it is to be applied; `told` is what is left as it is.

    `loosens`: the row would loosen, even if something else keeps it from being applied.
    """

    outcome: str = APPLY
    faults: tuple[Fault, ...] = ()
    told: Fault | None = None
    loosens: bool = False


class KnownMember(NamedTuple):
    """Somebody who is or was a member. `has_id`: the row's external id, if any, means them; `choice`: their own."""

    role: str = ""
    left: bool = False
    external_id: str = ""
    has_id: bool = True
    choice: str = ""


class KnownOrganization(NamedTuple):
    """An organization that exists already; `states`: product → its state, for the products of the import's plans."""

    name: str
    kind: str
    country: str
    status: str
    states: Mapping[str, State]


class NewOnes(NamedTuple):
    """What an import creates: the kind of the organizations, and product → plan."""

    kind: str
    plans: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """What is stored about a row. `state`: the organization's for the row's product; `plan_default`: of its plan."""

    now: dt.datetime
    exists: bool = True
    closed: bool = False
    personal: bool = False
    state: State = State()
    plan_default: str = ""
    denied: tuple[Span, ...] = ()  # when the layer denied, if an earlier start is to be attested
    live_since: dt.datetime | None = None  # start of the live subscription to the row's plan
    member: KnownMember | None = None
    id_taken: bool = False  # the row's external id means, or meant, another subject
    of_two: str = ""  # 'organization' or 'member', if the row's id and its external id mean two different ones
    # For a row of organizations, once its id has been looked up: the existing organization, and what is created.
    known: KnownOrganization | None = None
    new_ones: NewOnes | None = None


def judge_row(table: str, row: Row, met: Met) -> Verdict:
    """What comes of the row. A field that could not be read is empty; that has been reported before."""
    if table == ImportTable.ORGANIZATIONS:
        return _organization(row, met)
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


def _nobody(row: Row) -> Verdict:
    """A row whose organization doesn't exist: bad, unless it is about something that is over and is no opt-out.

    An opt-out needs somebody for whom it can be stored.
    """
    if row.past or ("closed" in row.held and row.choice != Choice.OPTED_OUT):
        return Verdict(PAST)
    return _bad([Fault("organization", row.ident, "There is no such organization. Import it first.")])


def _bad(faults: Iterable[Fault], *, loosens: bool = False) -> Verdict:
    found = tuple(faults)
    return Verdict(found[0].code, found, loosens=loosens)


def _closed(row: Row) -> Fault:
    remedy = "The account is closed. Reopen it, or remove the row."
    return Fault("organization", row.ident, remedy, Reason.ORGANIZATION_CLOSED)


def _personal(row: Row) -> Fault:
    remedy = "A personal organization can't have members other than its owner. Remove the row."
    return Fault("organization", row.ident, remedy, PERSONAL)


def _left_as_it_is(field: str, value: str, what: str) -> Fault:
    return Fault(field, value, f"It {what}. Left as it is.")


# --- Organizations ----------------------------------------------------------------------------------------------------


def _organization(row: Row, met: Met) -> Verdict:
    """For an existing organization only an opt-out is applied (R5); other differences are reported."""
    if met.known is not None and met.new_ones is not None:
        return _known_organization(row, met.known, met.new_ones)
    faults = [Fault("external_id", row.external_id, GIVEN_BEFORE)] if met.id_taken else []
    if not met.exists:
        remedy = "It has no external id, and there is no organization with this id. Give it an external id."
        faults.append(Fault("id", row.ident, remedy))
    if faults or met.new_ones is None:
        return _bad(faults) if faults else Verdict(loosens=_new_loosens(row))
    return _new_organization(row, met.new_ones.kind)


def _new_organization(row: Row, kind: str) -> Verdict:
    """No organization is created closed, or of another kind than the import's."""
    if row.status == OrganizationStatus.CLOSED:
        out = row.choice == Choice.OPTED_OUT
        return Verdict(PAST, told=Fault("status", row.status, _NOBODY) if out else None)
    if row.kind not in ("", kind):
        remedy = f"This import creates those of the kind “{kind}”. Import the others apart."
        return _bad([Fault("kind", row.kind, remedy)])
    return Verdict(loosens=_new_loosens(row))


def _new_loosens(row: Row) -> bool:
    return row.choice == Choice.OPTED_IN or row.since is not None


def _known_organization(row: Row, known: KnownOrganization, new_ones: NewOnes) -> Verdict:
    differences = [*_details(row, known, new_ones.kind), *_layers(row, known.states, new_ones.plans)]
    what = f"It is here with {'; '.join(differences)}. Left as it is."
    told = Fault("external_id", row.external_id, what, DIFFERING) if differences else None
    if row.choice == Choice.OPTED_OUT and any(state.choice != Choice.OPTED_OUT for state in known.states.values()):
        return Verdict(OPT_OUT, told=told)
    return Verdict(DIFFERING if differences else SAME, told=told)


def _details(row: Row, known: KnownOrganization, kind: str) -> list[str]:
    """In which details the file differs; an empty country or status is no difference."""
    pairs = [("name", squeezed(known.name), row.name), ("kind", known.kind, row.kind or kind)]
    pairs += [("country", known.country, row.country)] if row.country else []
    pairs += [("status", known.status, row.status)] if row.status else []
    return [f"{what} “{here}”, not “{there}”" for what, here, there in pairs if here != there]


def _layers(row: Row, states: Mapping[str, State], plans: Mapping[str, str]) -> Iterator[str]:
    for product, plan in plans.items():
        state = states[product]
        if not rules.holds(state, plan):
            yield f"plan for {product} “{state.plan if state.subscribed else ''}”, not “{plan}”"
        if row.choice == Choice.OPTED_IN and state.choice != Choice.OPTED_IN:
            yield f"no opt-in for {product}"
        if row.since and state.allowed and state.since and from_micros(row.since) < state.since:
            yield f"a later start for {product}"


# --- Members ----------------------------------------------------------------------------------------------------------


def _member(row: Row, met: Met) -> Verdict:
    if met.member is not None:
        return _known_member(row, met.member)
    if row.past:
        return Verdict(PAST)
    obstacles = rules.join_obstacles(closed=met.closed, personal=met.personal)
    faults = [_closed(row) if code == Reason.ORGANIZATION_CLOSED else _personal(row) for code in obstacles]
    if met.id_taken:
        remedy = f"Another member of this organization has, or had, this external id. Give each their own. {REBIND}"
        faults.append(Fault("external_id", row.external_id, remedy, EXISTS))
    return _bad(faults) if faults else Verdict(loosens=row.since is not None)


def _known_member(row: Row, member: KnownMember) -> Verdict:
    # An import removes nobody: the difference is only reported.
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
    # An import ends no subscription: one that goes on here is only reported.
    if row.ended is not None:
        goes_on = met.live_since is not None and met.live_since < from_micros(row.ended)
        told = "goes on here, and has ended by what the file says"
        return Verdict(PAST, told=_left_as_it_is("plan", row.plan, told) if goes_on else None)
    if row.plan and rules.holds(met.state, row.plan):
        return Verdict(SAME)
    if row.past:
        return Verdict(PAST)
    faults = [_closed(row)] if met.closed or rules.subscribe_obstacle(met.state) else []
    if not row.plan:
        return _bad(faults) if faults else Verdict()
    after = rules.subscribe(met.state, row.plan, met.plan_default, met.now)
    faults += _since_faults(row, after, met)
    # A first subscription doesn't count as loosening, even if its plan allows use by default; a restart or a move may.
    again = bool(met.state.plan) and after.allowed > met.state.allowed
    loosens = again or (row.since is not None and after.allowed)
    return _bad(faults, loosens=loosens) if faults else Verdict(loosens=loosens)


def _since_faults(row: Row, after: State, met: Met) -> list[Fault]:
    """A fault if the row's start can't be attested; none without a start, or if use isn't allowed."""
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
    # Without an opt-out in the row, data would stay in use here that the file keeps out.
    if unlike and row.choice != Choice.OPTED_OUT:
        return _bad([Fault(unlike, "true", _NOT_HELD)])
    told = _left_as_it_is(unlike, "true", "is not so here") if unlike else None
    if not row.choice or row.choice == met.state.choice:
        return Verdict(SAME, told=told)
    if row.choice == Choice.OPTED_OUT:
        return Verdict(told=told)
    if obstacle := rules.bulk_opt_in_obstacle(met.state):
        why = _OBSTACLES[obstacle]
        return Verdict(obstacle.value, told=_left_as_it_is("choice", row.choice, why))
    faults = _since_faults(row, rules.opt_in(met.state, met.now), met)
    return _bad(faults, loosens=True) if faults else Verdict(loosens=True)


def _held_otherwise(row: Row, state: State) -> str:
    """The first field by which the file says that the organization is kept out, if that is not so here; else ''.

    For a carry an opt-out counts too: a carry ends once somebody has chosen.
    """
    here = {"closed": state.closed, "locked": state.locked}
    here["carried_over_from"] = bool(state.carry) or state.choice == Choice.OPTED_OUT
    return next((field for field in row.held if not here[field]), "")
