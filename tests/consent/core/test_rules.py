"""`resolve`: which layer and reason wins, and each boundary in time. No database."""

import datetime as dt
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from consent import rules
from consent.rules import MEMBER_START, Choice, Layers, Membership, Reason, State, resolve

MICROSECOND = dt.timedelta(microseconds=1)
DAY = dt.timedelta(days=1)
CREATED = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
JOINED = CREATED + DAY
SINCE = CREATED + 2 * DAY
LEFT = CREATED + 3 * DAY
COLLECTED = CREATED + 4 * DAY
NOW = CREATED + 6 * DAY

FREE = State(
    plan="le_chat_free", subscribed=True, applied_default="opted_in", allowed=True, reason_code=Reason.PLAN_DEFAULT,
    since=SINCE,
)  # fmt: skip
OPTED_IN = replace(FREE, choice=Choice.OPTED_IN, reason_code=Reason.ORGANIZATION_OPTED_IN)
OPTED_OUT = replace(FREE, choice=Choice.OPTED_OUT, allowed=False, reason_code=Reason.ORGANIZATION_OPTED_OUT)
FINE = Layers(
    now=NOW,
    first_event_at=CREATED,
    organization=FREE,
    membership=Membership(JOINED),
    collected_at=COLLECTED,
    member_told=True,
)
MEMBER_OUT = rules.member_opt_out(MEMBER_START, SINCE)


def but(**changes: object) -> Layers:
    return replace(FINE, **changes)  # type: ignore[arg-type]


def with_state(layers: Layers, **changes: object) -> Layers:
    """The organization's layer, changed and judged anew."""
    state = replace(layers.organization, **changes)  # type: ignore[arg-type]
    allowed, reason = rules.judge(state)
    return replace(layers, organization=replace(state, allowed=allowed, reason_code=reason))


def answer(layers: Layers) -> tuple[bool, Reason]:
    decision = resolve(layers)
    return decision.allowed, decision.reason


# Every denial in the order that API.md fixes, each as the one thing that is wrong.
Denial = Callable[[Layers], Layers]
DENIALS: dict[Reason, Denial] = {
    Reason.UNKNOWN_ORGANIZATION: lambda q: replace(q, organization_known=False),
    Reason.RESTORED: lambda q: replace(q, restored=True),
    Reason.UNKNOWN_PRODUCT: lambda q: replace(q, product_known=False),
    Reason.UNKNOWN_DATA_KIND: lambda q: replace(q, data_kind_known=False),
    Reason.COLLECTED_AT_MISSING: lambda q: replace(q, collected_at_needed=True, collected_at=None),
    Reason.NOT_YET_KNOWN: lambda q: replace(q, at=NOW + MICROSECOND),
    Reason.MEMBER_REQUIRED: lambda q: replace(q, member_asked=False),
    Reason.UNKNOWN_MEMBER: lambda q: replace(q, membership=None),
    Reason.ORGANIZATION_CLOSED: lambda q: with_state(q, closed=True),
    Reason.NO_SUBSCRIPTION: lambda q: with_state(q, subscribed=False),
    Reason.LOCKED: lambda q: with_state(q, locked=True),
    Reason.ORGANIZATION_OPTED_OUT: lambda q: with_state(q, choice=Choice.OPTED_OUT),
    Reason.PLAN_DEFAULT: lambda q: with_state(q, applied_default="opted_out"),
    Reason.CARRIED_OVER: lambda q: with_state(q, carry="le_chat_teams"),
    Reason.MEMBER_OPTED_OUT: lambda q: replace(q, member=MEMBER_OUT),
    Reason.MEMBER_LEFT: lambda q: replace(q, membership=q.membership and Membership(JOINED, LEFT)),
    Reason.COLLECTED_BEFORE_ALLOWED: lambda q: with_state(q, since=COLLECTED + MICROSECOND),
    Reason.COOLING_OFF: lambda q: replace(q, cooling_off=5 * DAY),
}


# --- Precedence ------------------------------------------------------------------------------------------------------


def test_resolve__nothing_wrong__is_allowed_for_the_organizations_reason() -> None:
    assert answer(FINE) == (True, Reason.PLAN_DEFAULT)
    assert answer(but(organization=OPTED_IN)) == (True, Reason.ORGANIZATION_OPTED_IN)


@pytest.mark.parametrize("reason", DENIALS)
def test_resolve__one_thing_wrong__is_denied_for_it(reason: Reason) -> None:
    assert answer(DENIALS[reason](FINE)) == (False, reason)


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(DENIALS, 2)))
def test_resolve__two_things_wrong__the_earlier_one_is_named(first: Reason, second: Reason) -> None:
    assert answer(DENIALS[second](DENIALS[first](FINE))) == (False, first)
    assert answer(DENIALS[first](DENIALS[second](FINE))) == (False, first)


def test_resolve__everything_wrong__removed_one_by_one_names_the_next() -> None:
    left = list(DENIALS)
    while left:
        layers = FINE
        for reason in left:
            layers = DENIALS[reason](layers)
        assert answer(layers) == (False, left.pop(0))


def test_resolve__opt_in_and_a_carry_or_default_out__choice_decides() -> None:
    assert answer(with_state(FINE, choice=Choice.OPTED_IN, applied_default="opted_out")) == (
        True,
        Reason.ORGANIZATION_OPTED_IN,
    )


def test_resolve__organization_without_any_event__is_unknown() -> None:
    assert answer(but(first_event_at=None)) == (False, Reason.UNKNOWN_ORGANIZATION)


def test_resolve__layers__are_named_with_their_own_reasons_in_order() -> None:
    layers = resolve(but(organization=OPTED_OUT, member=MEMBER_OUT)).layers
    assert [(a.layer, a.allowed, a.reason) for a in layers] == [
        ("organization", False, Reason.ORGANIZATION_OPTED_OUT),
        ("member", False, Reason.MEMBER_OPTED_OUT),
    ]


# --- R4: a member can only tighten -----------------------------------------------------------------------------------

MEMBER_IN = rules.member_opt_in(MEMBER_OUT, SINCE)


def test_resolve__member_opted_in_organization_out__stays_denied() -> None:
    assert answer(but(organization=OPTED_OUT, member=MEMBER_IN)) == (False, Reason.ORGANIZATION_OPTED_OUT)


def test_resolve__member_opted_out_organization_in__is_denied() -> None:
    assert answer(but(organization=OPTED_IN, member=MEMBER_OUT)) == (False, Reason.MEMBER_OPTED_OUT)


def test_resolve__member_opted_in__reason_stays_the_organizations() -> None:
    assert answer(but(member=MEMBER_IN)) == (True, Reason.PLAN_DEFAULT)


# --- R6: without a break ---------------------------------------------------------------------------------------------


def test_resolve__collected_exactly_at_since__is_allowed() -> None:
    assert answer(but(collected_at=SINCE)) == (True, Reason.PLAN_DEFAULT)


def test_resolve__collected_a_microsecond_before_since__is_denied() -> None:
    assert answer(but(collected_at=SINCE - MICROSECOND)) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


def test_resolve__members_since_is_the_later_one__it_bounds_too() -> None:
    member = rules.member_opt_in(MEMBER_OUT, COLLECTED)
    assert answer(but(member=member)) == (True, Reason.PLAN_DEFAULT)
    assert answer(but(member=member, collected_at=COLLECTED - MICROSECOND)) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


def test_resolve__collected_before_joining__is_denied() -> None:
    q = with_state(FINE, since=CREATED)
    at_joining = replace(q, collected_at=JOINED)
    before = replace(q, collected_at=JOINED - MICROSECOND)
    assert answer(at_joining) == (True, Reason.PLAN_DEFAULT)
    assert answer(before) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


def test_resolve__collected_before_the_organizations_first_event__is_denied_not_unknown() -> None:
    assert answer(but(collected_at=CREATED - DAY)) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


def test_resolve__no_collected_at__is_decided_by_the_layers_alone() -> None:
    assert answer(but(collected_at=None)) == (True, Reason.PLAN_DEFAULT)


def test_resolve__allowed_since_nobody_knows_when__is_denied_for_a_collected_record() -> None:
    assert not resolve(with_state(FINE, since=None)).allowed


# --- R7: boundaries in time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"at": NOW, "collected_at": NOW}, (True, Reason.PLAN_DEFAULT)),
        ({"at": NOW + MICROSECOND, "collected_at": NOW}, (False, Reason.NOT_YET_KNOWN)),
        ({"at": None, "collected_at": NOW}, (True, Reason.PLAN_DEFAULT)),
        ({"at": None, "collected_at": NOW + MICROSECOND}, (False, Reason.NOT_YET_KNOWN)),
        ({"at": COLLECTED, "collected_at": COLLECTED}, (True, Reason.PLAN_DEFAULT)),
        ({"at": COLLECTED, "collected_at": COLLECTED + MICROSECOND}, (False, Reason.NOT_YET_KNOWN)),
        ({"at": CREATED - MICROSECOND, "collected_at": None}, (False, Reason.NOT_YET_KNOWN)),
        ({"at": CREATED - MICROSECOND, "collected_at": CREATED - DAY}, (False, Reason.NOT_YET_KNOWN)),
    ],
)
def test_resolve__instants_at_and_beside_the_edge_of_the_known(
    changes: dict[str, dt.datetime | None], expected: tuple[bool, Reason]
) -> None:
    assert answer(but(**changes)) == expected


def test_resolve__asked_at_the_first_event__is_known() -> None:
    created = replace(FINE, membership=Membership(CREATED), at=CREATED, collected_at=CREATED)
    assert answer(with_state(created, since=CREATED)) == (True, Reason.PLAN_DEFAULT)


# --- Leaving and joining again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("collected_at", "expected"),
    [
        (LEFT - MICROSECOND, (True, Reason.PLAN_DEFAULT)),
        (LEFT, (False, Reason.MEMBER_LEFT)),
        (LEFT + MICROSECOND, (False, Reason.MEMBER_LEFT)),
        (None, (False, Reason.MEMBER_LEFT)),
    ],
)
def test_resolve__member_left__what_was_collected_from_then_on_is_denied(
    collected_at: dt.datetime | None, expected: tuple[bool, Reason]
) -> None:
    assert answer(but(membership=Membership(JOINED, LEFT), collected_at=collected_at)) == expected


def test_resolve__joined_again__earlier_membership_is_a_break() -> None:
    again = Membership(COLLECTED)
    assert answer(but(membership=again, collected_at=COLLECTED)) == (True, Reason.PLAN_DEFAULT)
    assert answer(but(membership=again, collected_at=LEFT - MICROSECOND)) == (False, Reason.COLLECTED_BEFORE_ALLOWED)
    assert answer(but(membership=again, collected_at=LEFT)) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


def test_resolve__left_and_opted_out_afterwards__takes_earlier_records_out() -> None:
    left = but(membership=Membership(JOINED, LEFT), collected_at=LEFT - MICROSECOND)
    assert answer(replace(left, member=MEMBER_OUT)) == (False, Reason.MEMBER_OPTED_OUT)


def test_resolve__joined_again_after_an_old_choice__since_is_the_joining() -> None:
    old = rules.member_opt_in(rules.member_opt_out(MEMBER_START, JOINED), SINCE)
    assert answer(but(member=old, membership=Membership(COLLECTED), collected_at=COLLECTED - MICROSECOND)) == (
        False,
        Reason.COLLECTED_BEFORE_ALLOWED,
    )


# --- A product without a member's surface ----------------------------------------------------------------------------


def test_resolve__ai_studio_without_a_member__is_decided_by_the_organization() -> None:
    assert answer(but(member_needed=False, member_asked=False, membership=None)) == (True, Reason.PLAN_DEFAULT)


def test_resolve__ai_studio__members_own_choice_does_not_count() -> None:
    assert answer(but(member_needed=False, member=MEMBER_OUT)) == (True, Reason.PLAN_DEFAULT)


def test_resolve__ai_studio__membership_counts() -> None:
    studio = but(member_needed=False)
    assert answer(replace(studio, membership=None)) == (False, Reason.UNKNOWN_MEMBER)
    assert answer(replace(studio, membership=Membership(JOINED, LEFT))) == (False, Reason.MEMBER_LEFT)
    late = replace(studio, membership=Membership(COLLECTED + MICROSECOND))
    assert answer(late) == (False, Reason.COLLECTED_BEFORE_ALLOWED)


# --- The member's own layer, event by event --------------------------------------------------------------------------

OWN = {
    Choice.DEFAULT: MEMBER_START,
    Choice.OPTED_OUT: rules.member_opt_out(MEMBER_START, SINCE),
    Choice.OPTED_IN: rules.member_opt_in(rules.member_opt_out(MEMBER_START, JOINED), SINCE),
}


@pytest.mark.parametrize(
    ("choice", "event", "allowed", "reason", "since"),
    [
        (Choice.DEFAULT, rules.member_opt_out, False, Reason.MEMBER_OPTED_OUT, NOW),
        (Choice.DEFAULT, rules.member_opt_in, True, Reason.MEMBER_OPTED_IN, None),  # it was yes since they joined
        (Choice.OPTED_OUT, rules.member_opt_out, False, Reason.MEMBER_OPTED_OUT, SINCE),
        (Choice.OPTED_OUT, rules.member_opt_in, True, Reason.MEMBER_OPTED_IN, NOW),
        (Choice.OPTED_IN, rules.member_opt_out, False, Reason.MEMBER_OPTED_OUT, NOW),
        (Choice.OPTED_IN, rules.member_opt_in, True, Reason.MEMBER_OPTED_IN, SINCE),
    ],
)
def test_member_transition__choice_over_choice__is_absolute_and_new_since_only_if_it_was_no(
    choice: Choice,
    event: Callable[[State, dt.datetime], State],
    allowed: bool,
    reason: Reason,
    since: dt.datetime | None,
) -> None:
    after = event(OWN[choice], NOW)
    assert (after.allowed, after.reason_code, after.since) == (allowed, reason, since)


def test_member_start__nothing_chosen__is_allowed_by_default() -> None:
    assert (MEMBER_START.allowed, MEMBER_START.reason_code) == (True, Reason.DEFAULT)


# --- Cooling-off -----------------------------------------------------------------------------------------------------

THEN = COLLECTED + DAY


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"now": THEN - MICROSECOND}, (False, Reason.COOLING_OFF)),
        ({"now": THEN}, (True, Reason.PLAN_DEFAULT)),
        ({"now": THEN + MICROSECOND}, (True, Reason.PLAN_DEFAULT)),
        # Asked of an instant, it is that instant that counts, however late it is now.
        ({"at": THEN - MICROSECOND}, (False, Reason.COOLING_OFF)),
        ({"at": THEN}, (True, Reason.PLAN_DEFAULT)),
        ({"at": COLLECTED}, (False, Reason.COOLING_OFF)),
        ({"at": THEN, "collected_at": COLLECTED + MICROSECOND}, (False, Reason.COOLING_OFF)),
        # A question without collected_at is about the setting, not about a record.
        ({"at": THEN - MICROSECOND, "collected_at": None}, (True, Reason.PLAN_DEFAULT)),
        ({"now": THEN - MICROSECOND, "collected_at": None}, (True, Reason.PLAN_DEFAULT)),
        ({"now": THEN - MICROSECOND, "cooling_off": dt.timedelta(0)}, (True, Reason.PLAN_DEFAULT)),
        ({"now": COLLECTED, "cooling_off": dt.timedelta(0)}, (True, Reason.PLAN_DEFAULT)),
    ],
)
def test_resolve__cooling_off__ends_days_after_collecting(
    changes: dict[str, object], expected: tuple[bool, Reason]
) -> None:
    assert answer(but(**{"cooling_off": DAY, **changes})) == expected


def test_resolve__cooling_off__tells_from_when_on_it_is_usable() -> None:
    cooling = resolve(but(cooling_off=5 * DAY))
    assert (cooling.usable_from, cooling.boundary) == (COLLECTED + 5 * DAY, None)
    assert resolve(but(now=COLLECTED + 5 * DAY, cooling_off=5 * DAY)).allowed


@pytest.mark.parametrize("reason", [reason for reason in DENIALS if reason != Reason.COOLING_OFF])
def test_resolve__denied_for_another_reason__names_no_end_of_cooling_off(reason: Reason) -> None:
    decision = resolve(DENIALS[reason](but(cooling_off=5 * DAY)))
    assert (decision.reason, decision.usable_from) == (reason, None)


def test_resolve__cooling_off_of_a_member__is_not_told_before_what_is_private() -> None:
    asked = but(cooling_off=5 * DAY, member_told=False)
    assert answer(asked) == (False, Reason.MEMBER_PRIVATE)
    assert answer(replace(asked, member_needed=False)) == (False, Reason.COOLING_OFF)


def test_resolve__filtered_record__needs_collected_at() -> None:
    assert answer(but(collected_at_needed=True)) == (True, Reason.PLAN_DEFAULT)
    assert answer(but(collected_at_needed=True, collected_at=None)) == (False, Reason.COLLECTED_AT_MISSING)


def test_reasons__denials__are_in_order_of_precedence() -> None:
    denials = [reason for reason in Reason if reason in DENIALS]
    assert denials == list(DENIALS)
