"""The rules R1–R9, and what R13, R16 and R17 add to them, pure: no database, no clock.

A `State` is one layer's standing for one product: the organization's, or a member's own. Transitions take a state and
the instant of the change and return the next state; `resolve` takes all layers of a question and returns a `Decision`.
Instants are aware datetimes. docs/rules.md states the rules in words; tests walk its tables cell by cell.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple


class Choice(StrEnum):
    DEFAULT = "default"  # nobody has chosen yet
    OPTED_IN = "opted_in"
    OPTED_OUT = "opted_out"


class Reason(StrEnum):
    """Why a decision is what it is. The denials are in order of precedence."""

    UNKNOWN_ORGANIZATION = "unknown_organization"
    RESTORED = "restored"  # the database is, or may be, older than what was witnessed
    UNKNOWN_PRODUCT = "unknown_product"
    UNKNOWN_DATA_KIND = "unknown_data_kind"
    COLLECTED_AT_MISSING = "collected_at_missing"  # of a record that is filtered; a question without it is answered
    NOT_YET_KNOWN = "not_yet_known"
    MEMBER_REQUIRED = "member_required"
    UNKNOWN_MEMBER = "unknown_member"
    ORGANIZATION_CLOSED = "organization_closed"
    NO_SUBSCRIPTION = "no_subscription"
    LOCKED = "locked"
    ORGANIZATION_OPTED_OUT = "organization_opted_out"
    PLAN_DEFAULT = "plan_default"  # denies and allows
    CARRIED_OVER = "carried_over"
    MEMBER_PRIVATE = "member_private"  # a member's own choice is not told to their organization (R4)
    MEMBER_OPTED_OUT = "member_opted_out"
    MEMBER_LEFT = "member_left"
    COLLECTED_BEFORE_ALLOWED = "collected_before_allowed"
    COOLING_OFF = "cooling_off"  # nothing forbids it, but it is not old enough yet
    ORGANIZATION_OPTED_IN = "organization_opted_in"
    # Of a member's layer that allows; never the reason of a whole decision.
    DEFAULT = "default"
    MEMBER_OPTED_IN = "member_opted_in"
    EXTERNAL_ID = "external_id"  # like these, for the layer that an external id adds


_REASONS = {each.value: each for each in Reason}  # faster than a call of Reason


@dataclasses.dataclass(frozen=True, slots=True)
class State:
    """One layer's state. `since` is when `allowed` last changed, or an earlier start that was attested; None: never."""

    plan: str = ""  # the plan held, or last held
    subscribed: bool = False
    applied_default: str = ""  # the plan's default as it was last applied; '' before the first subscription
    choice: str = Choice.DEFAULT
    carry: str = ""  # the plan whose "out" was carried over (R5), '' without a carry
    locked: bool = False
    closed: bool = False
    allowed: bool = False
    reason_code: str = Reason.NO_SUBSCRIPTION
    since: dt.datetime | None = None


MEMBER_START = State(allowed=True, reason_code=Reason.DEFAULT)


def judge(state: State) -> tuple[bool, Reason]:
    """Whether an organization's layer allows use, and why (R1, R3, R5)."""
    if state.closed:
        return False, Reason.ORGANIZATION_CLOSED
    if not state.subscribed:
        return False, Reason.NO_SUBSCRIPTION
    if state.locked:
        return False, Reason.LOCKED
    if state.choice == Choice.OPTED_OUT:
        return False, Reason.ORGANIZATION_OPTED_OUT
    if state.choice == Choice.OPTED_IN:
        return True, Reason.ORGANIZATION_OPTED_IN
    if state.applied_default != Choice.OPTED_IN:
        return False, Reason.PLAN_DEFAULT
    if state.carry:
        return False, Reason.CARRIED_OVER
    return True, Reason.PLAN_DEFAULT


def judge_member(state: State) -> tuple[bool, Reason]:
    """Whether a member's own layer allows use, and why. It can only tighten (R4)."""
    if state.choice == Choice.OPTED_OUT:
        return False, Reason.MEMBER_OPTED_OUT
    return True, Reason.MEMBER_OPTED_IN if state.choice == Choice.OPTED_IN else Reason.DEFAULT


def _settle(
    before: State, at: dt.datetime, judged_by: Callable[[State], tuple[bool, Reason]] = judge, **changes: object
) -> State:
    """The state after these changes; `since` is kept while `allowed` stays what it was (R6)."""
    after = dataclasses.replace(before, **changes)  # type: ignore[arg-type]
    allowed, reason = judged_by(after)
    # An organization's layer has a `since` from its first event on; a member's has None until it first changes.
    fresh = allowed != before.allowed or (before.since is None and judged_by is judge)
    return dataclasses.replace(after, allowed=allowed, reason_code=reason, since=at if fresh else before.since)


# --- Transitions of an organization's layer -------------------------------------------------------------------------


def subscribe(state: State, plan: str, default: str, at: dt.datetime) -> State:
    """First subscription, move to another plan, restart after a gap, or the default of the held plan changed (R5)."""
    choice, carry = state.choice, state.carry
    if state.applied_default == Choice.OPTED_IN and default == Choice.OPTED_OUT and choice == Choice.OPTED_IN:
        choice = Choice.DEFAULT  # the opt-in is dropped: it has to be given again
    if state.applied_default == Choice.OPTED_OUT and default == Choice.OPTED_IN and choice == Choice.DEFAULT:
        carry = state.plan  # nobody said "in": stay out, and remember why
    return _settle(state, at, plan=plan, subscribed=True, applied_default=default, choice=choice, carry=carry)


def holds(state: State, plan: str) -> bool:
    """Whether the organization is subscribed to this plan already."""
    return state.subscribed and state.plan == plan


def subscribe_obstacle(state: State) -> Reason | None:
    """What keeps a subscription from starting or moving to another plan; None if nothing does."""
    return Reason.ORGANIZATION_CLOSED if state.closed else None


def end_subscription(state: State, at: dt.datetime) -> State:
    return _settle(state, at, subscribed=False)


def opt_out(state: State, at: dt.datetime) -> State:
    return _settle(state, at, choice=Choice.OPTED_OUT)


def opt_in_obstacle(state: State) -> Reason | None:
    """What keeps this organization from opting in (R3); None if nothing does."""
    if state.closed:
        return Reason.ORGANIZATION_CLOSED
    if not state.subscribed:
        return Reason.NO_SUBSCRIPTION
    return Reason.LOCKED if state.locked else None


def bulk_opt_in_obstacle(state: State) -> Reason | None:
    """Why an opt-in in bulk, or by import, skips this organization: an obstacle, or its own opt-out (R13)."""
    return Reason.ORGANIZATION_OPTED_OUT if state.choice == Choice.OPTED_OUT else opt_in_obstacle(state)


def opt_in_needs_reason(state: State) -> bool:
    """Whether an opt-in needs a reason, because the plan's default is opted out (R3, R13)."""
    return state.applied_default == Choice.OPTED_OUT


def opt_in(state: State, at: dt.datetime) -> State:
    """Opt in. Raises ValueError if there is an `opt_in_obstacle`."""
    if obstacle := opt_in_obstacle(state):
        raise ValueError(f"cannot opt in: {obstacle}")
    return _settle(state, at, choice=Choice.OPTED_IN, carry="")


def restore(state: State, choice: str, carry: str, at: dt.datetime) -> State:
    """Undo of a job: choice and carry as before it. The rest stays, so that it decides whether use is allowed now."""
    return _settle(state, at, choice=choice, carry=carry)


def lock(state: State, at: dt.datetime) -> State:
    return _settle(state, at, locked=True)


def lift_lock(state: State, at: dt.datetime) -> State:
    return _settle(state, at, locked=False)


def close(state: State, at: dt.datetime) -> State:
    return _settle(state, at, closed=True)


def reopen(state: State, at: dt.datetime) -> State:
    return _settle(state, at, closed=False)


class Span(NamedTuple):
    """From `start` until before `end`; None: still so."""

    start: dt.datetime
    end: dt.datetime | None


def denied_spans(
    known_from: dt.datetime, history: Iterable[tuple[dt.datetime, bool]], until: dt.datetime
) -> tuple[Span, ...]:
    """The spans in which a layer denied, from `known_from` to `until`; `history`: its events, in order, as
    (instant, whether allowed).

    Before its first event there was no subscription, which denies too.
    """
    spans, start = [], known_from
    denies = True
    for at, allowed in [*history, (until, True)]:
        if denies and start < at:
            spans.append(Span(start, at))
        denies, start = not allowed, max(at, known_from)
    return tuple(spans)


def may_attest(state: State, since: dt.datetime, denied: Iterable[Span]) -> bool:
    """Whether an earlier start can be attested: only if the layer allows, and has denied at no time since then."""
    earlier = state.allowed and state.since is not None and since < state.since
    return earlier and not any(span.end is None or span.end > since for span in denied)


def attest(state: State, since: dt.datetime, denied: Iterable[Span]) -> State:
    """Set `since` to an earlier start, before the portal knew of it, on the attester's responsibility.

    `denied`: all spans in which this layer denied. Raises ValueError if `may_attest` says no.
    """
    if not may_attest(state, since, denied):
        raise ValueError("an earlier start can be attested only of what is allowed, and was never denied since then")
    return dataclasses.replace(state, since=since)


def restart(state: State, at: dt.datetime) -> State:
    """After a restore that lost events of this layer, an organization's or a member's: what is allowed begins anew,
    because it may have been interrupted (R6). What is not allowed stays as it is."""
    return dataclasses.replace(state, since=at) if state.allowed else state


# --- Transitions of a member's layer --------------------------------------------------------------------------------


def member_opt_out(state: State, at: dt.datetime) -> State:
    return _settle(state, at, judge_member, choice=Choice.OPTED_OUT)


def member_opt_in(state: State, at: dt.datetime) -> State:
    return _settle(state, at, judge_member, choice=Choice.OPTED_IN)


# --- Membership -----------------------------------------------------------------------------------------------------

PERSONAL = "personal"  # the code of a refusal, which is no reason of a decision


def join_obstacles(*, closed: bool, personal: bool) -> tuple[str, ...]:
    """Codes of all that keeps people from joining; a personal organization has no member but its owner (R17)."""
    obstacles = {Reason.ORGANIZATION_CLOSED.value: closed, PERSONAL: personal}
    return tuple(code for code, applies in obstacles.items() if applies)


# --- Decisions ------------------------------------------------------------------------------------------------------


class Standing(NamedTuple):
    """The part of a `State` that a decision depends on."""

    allowed: bool
    reason_code: str
    since: dt.datetime | None


class Membership(NamedTuple):
    """From the last joining until leaving; `left_at` None: still there."""

    joined_at: dt.datetime
    left_at: dt.datetime | None = None


NO_COOLING_OFF = dt.timedelta(0)


@dataclasses.dataclass(slots=True)  # not frozen, which would make it slower to make; nothing changes one
class Layers:
    """Everything that the decision of one question depends on. `at` None asks about the current state."""

    now: dt.datetime
    at: dt.datetime | None = None
    collected_at: dt.datetime | None = None
    organization_known: bool = True
    product_known: bool = True
    data_kind_known: bool = True
    first_event_at: dt.datetime | None = None  # the organization's; None if there is no such organization
    organization: State | Standing = State()
    member_asked: bool = True  # the question names a member, or means the owner of a personal organization
    member_needed: bool = True  # the product has a surface for members
    membership: Membership | None = None
    member: State | Standing = MEMBER_START
    member_told: bool = False  # whoever asks may know what the member chose; nobody by default (R4)
    named_since: dt.datetime | None = None  # since when the question's external ids may be used (R16); None: no such id
    cooling_off: dt.timedelta = NO_COOLING_OFF  # of the product, at the instant asked about
    collected_at_needed: bool = False  # a record is filtered, not a question answered (R7)
    restored: bool = False  # the database is in quarantine: it may have lost somebody's "no"


class LayerAnswer(NamedTuple):
    layer: str
    allowed: bool
    reason: str
    since: dt.datetime | None


class Decision(NamedTuple):
    """`layers` has no member's layer if the asker may not know what members chose (R4).

    `usable_from`: if the data is cooling off, the first instant at which it may be used, should nothing else change.
    """

    allowed: bool
    reason: Reason
    layers: tuple[LayerAnswer, ...] = ()
    boundary: dt.datetime | None = None  # if data was collected too early: the first instant that would be allowed
    usable_from: dt.datetime | None = None


def resolve(layers: Layers) -> Decision:
    """Whether data may be used: deny wins (R1), unknown means no (R8), only data collected since it is allowed (R6),
    and only once it is as old as the product's cooling-off says."""
    if refusal := _unanswerable(layers):
        return Decision(False, refusal)
    # The only place that may read what the member chose: where it is not told, nothing depends on it, whatever the
    # organization's layer says (R4).
    member = layers.member if layers.member_told and layers.member_needed else MEMBER_START
    answers = _answers(layers, member)
    told = answers if layers.member_told else tuple(answer for answer in answers if answer.layer != "member")
    # If the organization's layer denies, that is the answer for everybody. If not, the member's layer decides.
    if layers.member_needed and not layers.member_told and answers[0].allowed:
        return Decision(False, Reason.MEMBER_PRIVATE, told)
    for answer in answers:
        if not answer.allowed:
            return Decision(False, _REASONS[answer.reason], told)
    collected = layers.collected_at
    if collected is not None and any(answer.since is None or collected < answer.since for answer in answers):
        boundary = max((answer.since for answer in answers if answer.since), default=None)
        return Decision(False, Reason.COLLECTED_BEFORE_ALLOWED, told, boundary)
    if collected is not None and is_cooling_off(collected, layers.cooling_off, layers.at or layers.now):
        return Decision(False, Reason.COOLING_OFF, told, usable_from=collected + layers.cooling_off)
    return Decision(True, _REASONS[answers[0].reason], told)


def is_cooling_off(collected_at: dt.datetime, days: dt.timedelta, asked_about: dt.datetime) -> bool:
    """Whether data is too new to be used at this instant: it is usable from `collected_at + days` on."""
    return collected_at > asked_about - days


def _unanswerable(layers: Layers) -> Reason | None:
    """Why the question is denied before any layer is looked at, in order of precedence; None if it is not."""
    if not layers.organization_known or layers.first_event_at is None:
        return Reason.UNKNOWN_ORGANIZATION
    if layers.restored:
        return Reason.RESTORED
    if not layers.product_known:
        return Reason.UNKNOWN_PRODUCT
    if not layers.data_kind_known:
        return Reason.UNKNOWN_DATA_KIND
    if layers.collected_at_needed and layers.collected_at is None:
        return Reason.COLLECTED_AT_MISSING
    if _out_of_time(layers, layers.first_event_at):
        return Reason.NOT_YET_KNOWN
    if layers.member_needed and not layers.member_asked:
        return Reason.MEMBER_REQUIRED
    if layers.member_asked and layers.membership is None:
        return Reason.UNKNOWN_MEMBER
    return None


def _out_of_time(layers: Layers, first_event_at: dt.datetime) -> bool:
    """Whether the question names an instant about which nothing is known (R7)."""
    if layers.at is not None and (layers.at > layers.now or layers.at < first_event_at):
        return True
    return layers.collected_at is not None and layers.collected_at > (layers.at or layers.now)


def _answers(layers: Layers, member: State | Standing) -> tuple[LayerAnswer, ...]:
    organization = layers.organization
    own = LayerAnswer("organization", organization.allowed, organization.reason_code, organization.since)
    membership = layers.membership
    # A question by external id is about data collected since the id has meant this subject, and no earlier data (R16).
    since = layers.named_since
    named = () if since is None else (LayerAnswer("external_id", True, Reason.EXTERNAL_ID, since),)
    if membership is None:
        return own, *named
    allowed, reason = member.allowed, member.reason_code
    left_at = membership.left_at
    if allowed and left_at is not None and (layers.collected_at is None or layers.collected_at >= left_at):
        allowed, reason = False, Reason.MEMBER_LEFT
    # A member's data is allowed only since they joined and since they opted in, whichever is later.
    since = max(membership.joined_at, member.since) if member.since else membership.joined_at
    return own, LayerAnswer("member", allowed, reason, since), *named
