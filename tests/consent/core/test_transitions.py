"""The transition table of the rules, cell by cell, on the pure functions; its words are the row titles here.

A state is given by what an organization looks like (`standing`), an event is a function of a state. A cell says what
the choice, the carry, `allowed` and `since` are afterwards. The second half applies every event to every state.
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Iterator

import pytest

from consent import rules
from consent.rules import Choice, Reason, State

LONG_AGO = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)  # when the standing before the event began
NOW = dt.datetime(2026, 11, 9, 9, tzinfo=dt.UTC)  # the event's instant

IN, OUT = "opted_in", "opted_out"
NONE = Choice.DEFAULT
FREE, PRO, TEAMS, ENTERPRISE = "le_chat_free", "le_chat_pro", "le_chat_teams", "le_chat_enterprise"
DEFAULTS = {FREE: IN, PRO: IN, TEAMS: OUT, ENTERPRISE: OUT}

# The order of reasons: the first line that applies decides.
ORDER: list[tuple[Callable[[State], bool], bool, Reason]] = [
    (lambda s: s.closed, False, Reason.ORGANIZATION_CLOSED),
    (lambda s: not s.subscribed, False, Reason.NO_SUBSCRIPTION),
    (lambda s: s.locked, False, Reason.LOCKED),
    (lambda s: s.choice == OUT, False, Reason.ORGANIZATION_OPTED_OUT),
    (lambda s: s.choice == IN, True, Reason.ORGANIZATION_OPTED_IN),
    (lambda s: s.applied_default == OUT, False, Reason.PLAN_DEFAULT),
    (lambda s: bool(s.carry), False, Reason.CARRIED_OVER),
    (lambda s: s.applied_default == IN, True, Reason.PLAN_DEFAULT),
]


def decided(state: State) -> tuple[bool, Reason]:
    return next((allowed, reason) for holds, allowed, reason in ORDER if holds(state))


def standing(
    plan: str = "",
    choice: str = NONE,
    carry: str = "",
    *,
    default: str = "",
    ended: bool = False,
    locked: bool = False,
    closed: bool = False,
) -> State:
    """An organization as it has stood since LONG_AGO; without a plan: never subscribed."""
    state = State(
        plan=plan, subscribed=bool(plan) and not ended, applied_default=default or DEFAULTS.get(plan, ""),
        choice=choice, carry=carry, locked=locked, closed=closed,
    )  # fmt: skip
    allowed, reason = decided(state)
    return dataclasses.replace(state, allowed=allowed, reason_code=reason, since=LONG_AGO)


Event = Callable[[State], State]
Cell = tuple[str, State, Event, str, str, bool, Reason, bool]


def to(plan: str, default: str | None = None) -> Event:
    return lambda state: rules.subscribe(state, plan, default or DEFAULTS[plan], NOW)


def opt_in(state: State) -> State:
    return rules.opt_in(state, NOW)


def opt_out(state: State) -> State:
    return rules.opt_out(state, NOW)


def end(state: State) -> State:
    return rules.end_subscription(state, NOW)


def lock(state: State) -> State:
    return rules.lock(state, NOW)


def lift(state: State) -> State:
    return rules.lift_lock(state, NOW)


def close(state: State) -> State:
    return rules.close(state, NOW)


def reopen(state: State) -> State:
    return rules.reopen(state, NOW)


def cell(
    title: str, before: State, event: Event, *, choice: str, carry: str = "", allowed: bool, reason: Reason, fresh: bool
) -> Cell:
    """`fresh`: `since` is the event's instant; otherwise what it was."""
    return title, before, event, choice, carry, allowed, reason, fresh


R = Reason
FIRST = [
    cell("nothing before it", State(), to(FREE), choice=NONE, allowed=True, reason=R.PLAN_DEFAULT, fresh=True),
    cell("free", standing(), to(FREE), choice=NONE, allowed=True, reason=R.PLAN_DEFAULT, fresh=True),
    cell("teams", standing(), to(TEAMS), choice=NONE, allowed=False, reason=R.PLAN_DEFAULT, fresh=False),
    cell("free after an early opt-out", standing(choice=OUT), to(FREE), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("teams after an early opt-out", standing(choice=OUT), to(TEAMS), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("free under an early lock", standing(locked=True), to(FREE), choice=NONE, allowed=False, reason=R.LOCKED,
         fresh=False),
    cell("free on a closed account", standing(closed=True), to(FREE), choice=NONE, allowed=False,
         reason=R.ORGANIZATION_CLOSED, fresh=False),
]  # fmt: skip
SAME_DEFAULT = [
    cell("free to pro", standing(FREE), to(PRO), choice=NONE, allowed=True, reason=R.PLAN_DEFAULT, fresh=False),
    cell("free to pro, opted in", standing(FREE, IN), to(PRO), choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=False),
    cell("free to pro, opted out", standing(FREE, OUT), to(PRO), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("free to pro, carried over", standing(FREE, carry=TEAMS), to(PRO), choice=NONE, carry=TEAMS, allowed=False,
         reason=R.CARRIED_OVER, fresh=False),
    cell("free to pro, locked", standing(FREE, locked=True), to(PRO), choice=NONE, allowed=False, reason=R.LOCKED,
         fresh=False),
    cell("teams to enterprise", standing(TEAMS), to(ENTERPRISE), choice=NONE, allowed=False, reason=R.PLAN_DEFAULT,
         fresh=False),
    cell("teams to enterprise, opted in", standing(TEAMS, IN), to(ENTERPRISE), choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=False),
    cell("teams to enterprise, opted out", standing(TEAMS, OUT), to(ENTERPRISE), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("teams to enterprise, an old carry", standing(TEAMS, carry=TEAMS), to(ENTERPRISE), choice=NONE, carry=TEAMS,
         allowed=False, reason=R.PLAN_DEFAULT, fresh=False),
    cell("restart free to pro", standing(FREE, ended=True), to(PRO), choice=NONE, allowed=True, reason=R.PLAN_DEFAULT,
         fresh=True),
    cell("restart of the same plan", standing(FREE, ended=True), to(FREE), choice=NONE, allowed=True,
         reason=R.PLAN_DEFAULT, fresh=True),
    cell("restart free to pro, opted in", standing(FREE, IN, ended=True), to(PRO), choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=True),
    cell("restart free to pro, opted out", standing(FREE, OUT, ended=True), to(PRO), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("restart free to pro, carried over", standing(FREE, carry=TEAMS, ended=True), to(PRO), choice=NONE,
         carry=TEAMS, allowed=False, reason=R.CARRIED_OVER, fresh=False),
    cell("restart teams to enterprise, opted in", standing(TEAMS, IN, ended=True), to(ENTERPRISE), choice=IN,
         allowed=True, reason=R.ORGANIZATION_OPTED_IN, fresh=True),
]  # fmt: skip
IN_TO_OUT = [
    cell("move", standing(FREE), to(TEAMS), choice=NONE, allowed=False, reason=R.PLAN_DEFAULT, fresh=True),
    cell("move, opted in", standing(FREE, IN), to(TEAMS), choice=NONE, allowed=False, reason=R.PLAN_DEFAULT,
         fresh=True),
    cell("move, opted out", standing(FREE, OUT), to(TEAMS), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("move, carried over", standing(PRO, carry=TEAMS), to(TEAMS), choice=NONE, carry=TEAMS, allowed=False,
         reason=R.PLAN_DEFAULT, fresh=False),
    cell("move under a lock, opted in", standing(FREE, IN, locked=True), to(TEAMS), choice=NONE, allowed=False,
         reason=R.LOCKED, fresh=False),
    cell("restart, opted in", standing(FREE, IN, ended=True), to(TEAMS), choice=NONE, allowed=False,
         reason=R.PLAN_DEFAULT, fresh=False),
    cell("changed default", standing(FREE), to(FREE, OUT), choice=NONE, allowed=False, reason=R.PLAN_DEFAULT,
         fresh=True),
    cell("changed default, opted in", standing(FREE, IN), to(FREE, OUT), choice=NONE, allowed=False,
         reason=R.PLAN_DEFAULT, fresh=True),
    cell("default changed in the gap, opted in", standing(FREE, IN, ended=True), to(FREE, OUT), choice=NONE,
         allowed=False, reason=R.PLAN_DEFAULT, fresh=False),
]  # fmt: skip
OUT_TO_IN = [
    cell("move, no choice", standing(TEAMS), to(PRO), choice=NONE, carry=TEAMS, allowed=False, reason=R.CARRIED_OVER,
         fresh=False),
    cell("move, no choice, an older carry", standing(ENTERPRISE, carry=TEAMS), to(PRO), choice=NONE, carry=ENTERPRISE,
         allowed=False, reason=R.CARRIED_OVER, fresh=False),
    cell("restart, no choice", standing(TEAMS, ended=True), to(PRO), choice=NONE, carry=TEAMS, allowed=False,
         reason=R.CARRIED_OVER, fresh=False),
    cell("changed default, no choice", standing(PRO, default=OUT), to(PRO), choice=NONE, carry=PRO, allowed=False,
         reason=R.CARRIED_OVER, fresh=False),
    cell("changed default, opted in", standing(PRO, IN, default=OUT), to(PRO), choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=False),
    cell("move, opted in", standing(TEAMS, IN), to(PRO), choice=IN, allowed=True, reason=R.ORGANIZATION_OPTED_IN,
         fresh=False),
    cell("restart, opted in", standing(TEAMS, IN, ended=True), to(PRO), choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=True),
    cell("move, opted out", standing(TEAMS, OUT), to(PRO), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("restart, opted out", standing(TEAMS, OUT, ended=True), to(PRO), choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
]  # fmt: skip
OPTS_OUT = [
    cell("from the default", standing(FREE), opt_out, choice=OUT, allowed=False, reason=R.ORGANIZATION_OPTED_OUT,
         fresh=True),
    cell("from opted in", standing(TEAMS, IN), opt_out, choice=OUT, allowed=False, reason=R.ORGANIZATION_OPTED_OUT,
         fresh=True),
    cell("carried over", standing(PRO, carry=TEAMS), opt_out, choice=OUT, carry=TEAMS, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("never subscribed", standing(), opt_out, choice=OUT, allowed=False, reason=R.NO_SUBSCRIPTION, fresh=False),
    cell("in a gap", standing(FREE, IN, ended=True), opt_out, choice=OUT, allowed=False, reason=R.NO_SUBSCRIPTION,
         fresh=False),
    cell("under a lock", standing(FREE, locked=True), opt_out, choice=OUT, allowed=False, reason=R.LOCKED,
         fresh=False),
    cell("closed account", standing(FREE, closed=True), opt_out, choice=OUT, allowed=False,
         reason=R.ORGANIZATION_CLOSED, fresh=False),
]  # fmt: skip
OPTS_IN = [
    cell("default in: no break", standing(FREE), opt_in, choice=IN, allowed=True, reason=R.ORGANIZATION_OPTED_IN,
         fresh=False),
    cell("default out", standing(TEAMS), opt_in, choice=IN, allowed=True, reason=R.ORGANIZATION_OPTED_IN, fresh=True),
    cell("was opted out", standing(FREE, OUT), opt_in, choice=IN, allowed=True, reason=R.ORGANIZATION_OPTED_IN,
         fresh=True),
    cell("carried over", standing(PRO, carry=TEAMS), opt_in, choice=IN, allowed=True, reason=R.ORGANIZATION_OPTED_IN,
         fresh=True),
    cell("opted out over a carry", standing(PRO, OUT, TEAMS), opt_in, choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=True),
]  # fmt: skip
STOPS = [
    cell("lock", standing(FREE), lock, choice=NONE, allowed=False, reason=R.LOCKED, fresh=True),
    cell("lock, opted in", standing(TEAMS, IN), lock, choice=IN, allowed=False, reason=R.LOCKED, fresh=True),
    cell("lock, carried over", standing(PRO, carry=TEAMS), lock, choice=NONE, carry=TEAMS, allowed=False,
         reason=R.LOCKED, fresh=False),
    cell("end", standing(FREE), end, choice=NONE, allowed=False, reason=R.NO_SUBSCRIPTION, fresh=True),
    cell("end, opted in", standing(TEAMS, IN), end, choice=IN, allowed=False, reason=R.NO_SUBSCRIPTION, fresh=True),
    cell("close", standing(FREE), close, choice=NONE, allowed=False, reason=R.ORGANIZATION_CLOSED, fresh=True),
    cell("close, opted in", standing(TEAMS, IN), close, choice=IN, allowed=False, reason=R.ORGANIZATION_CLOSED,
         fresh=True),
]  # fmt: skip
RESUMES = [
    cell("lift", standing(FREE, locked=True), lift, choice=NONE, allowed=True, reason=R.PLAN_DEFAULT, fresh=True),
    cell("lift, opted in", standing(TEAMS, IN, locked=True), lift, choice=IN, allowed=True,
         reason=R.ORGANIZATION_OPTED_IN, fresh=True),
    cell("lift, opted out", standing(FREE, OUT, locked=True), lift, choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("lift, carried over", standing(PRO, carry=TEAMS, locked=True), lift, choice=NONE, carry=TEAMS, allowed=False,
         reason=R.CARRIED_OVER, fresh=False),
    cell("lift on teams", standing(TEAMS, locked=True), lift, choice=NONE, allowed=False, reason=R.PLAN_DEFAULT,
         fresh=False),
    cell("reopen", standing(FREE, closed=True), reopen, choice=NONE, allowed=True, reason=R.PLAN_DEFAULT, fresh=True),
    cell("reopen, opted out", standing(FREE, OUT, closed=True), reopen, choice=OUT, allowed=False,
         reason=R.ORGANIZATION_OPTED_OUT, fresh=False),
    cell("reopen, subscription ended", standing(FREE, ended=True, closed=True), reopen, choice=NONE, allowed=False,
         reason=R.NO_SUBSCRIPTION, fresh=False),
    cell("reopen, locked", standing(FREE, locked=True, closed=True), reopen, choice=NONE, allowed=False,
         reason=R.LOCKED, fresh=False),
]  # fmt: skip


ROWS = {
    "first subscription ever": FIRST,
    "in to in, out to out": SAME_DEFAULT,
    "in to out": IN_TO_OUT,
    "out to in": OUT_TO_IN,
    "opts out": OPTS_OUT,
    "opts in": OPTS_IN,
    "lock, end, close": STOPS,
    "lift, restart, reopen": RESUMES,
}


@pytest.mark.parametrize(
    ("before", "event", "choice", "carry", "allowed", "reason", "fresh"),
    [pytest.param(*columns, id=f"{row}: {title}") for row, cells in ROWS.items() for title, *columns in cells],
)
def test_transition__cell_of_the_table__leaves_what_it_says(
    before: State, event: Event, choice: str, carry: str, allowed: bool, reason: Reason, fresh: bool
) -> None:
    after = event(before)
    assert (after.choice, after.carry) == (choice, carry)
    assert (after.allowed, after.reason_code) == (allowed, reason)
    assert after.since == (NOW if fresh else before.since)


# --- Every event over every standing ---------------------------------------------------------------------------------


def standings() -> Iterator[State]:
    """Every combination that can be: no opt-in before a first subscription, and none beside a carry."""
    flags = itertools.product((False, True), repeat=3)
    plans = itertools.product(("", FREE, TEAMS), (NONE, IN, OUT), ("", ENTERPRISE))
    for (plan, choice, carry), (ended, locked, closed) in itertools.product(list(plans), list(flags)):
        if (not plan and (choice == IN or carry or ended)) or (choice == IN and carry):
            continue
        yield standing(plan, choice, carry, ended=ended, locked=locked, closed=closed)


STANDINGS = list(standings())
MOVES = {f"to {plan}": to(plan) for plan in DEFAULTS}
OTHERS = {"opt out": opt_out, "end": end, "lock": lock, "lift": lift, "close": close, "reopen": reopen}
EVENTS: dict[str, Event] = {**MOVES, **OTHERS, "opt in": opt_in}


def steps(events: dict[str, Event]) -> Iterator[tuple[State, State, str]]:
    for before, (name, event) in itertools.product(STANDINGS, events.items()):
        if event is opt_in and rules.opt_in_obstacle(before):
            continue
        yield before, event(before), f"{name} from {before}"


def test_standing__every_one__is_judged_in_the_deciding_order() -> None:
    for state in STANDINGS:
        assert rules.judge(state) == decided(state), state


def test_transition__any_event__is_decided_in_the_deciding_order() -> None:
    for _before, after, told in steps(EVENTS):
        assert (after.allowed, after.reason_code) == decided(after), told


def test_transition__any_event__since_is_kept_exactly_while_allowed_stays_true() -> None:
    for before, after, told in steps(EVENTS):
        if after.allowed:
            assert after.since == (LONG_AGO if before.allowed else NOW), told


def test_transition__anything_but_a_choice_or_a_plan__keeps_choice_carry_and_default() -> None:
    for before, after, told in steps({name: OTHERS[name] for name in ("end", "lock", "lift", "close", "reopen")}):
        kept = [(s.plan, s.applied_default, s.choice, s.carry) for s in (before, after)]
        assert kept[0] == kept[1], told


def test_transition__explicit_opt_out__survives_everything_but_an_opt_in() -> None:
    for before, after, told in steps({**MOVES, **OTHERS}):
        if before.choice == OUT:
            assert after.choice == OUT and not after.allowed, told


def test_transition__opt_in__comes_from_nothing_but_opting_in() -> None:
    for before, after, told in steps({**MOVES, **OTHERS}):
        assert after.choice != IN or before.choice == IN, told


def test_transition__move_of_a_live_plan__never_turns_not_used_into_used() -> None:
    for before, after, told in steps(MOVES):
        if before.subscribed:
            assert before.allowed or not after.allowed, told


def test_transition__tightening_event__is_never_followed_by_used() -> None:
    for _before, after, told in steps({"opt out": opt_out, "end": end, "lock": lock, "close": close}):
        assert not after.allowed, told


def test_transition__lock_and_lift_and_their_like__begin_anew_and_change_nothing_else() -> None:
    later = NOW + dt.timedelta(microseconds=1)
    for stop, resume in ((rules.lock, rules.lift_lock), (rules.close, rules.reopen)):
        for before in STANDINGS:
            if before.locked or before.closed:
                continue
            after = resume(stop(before, NOW), later)
            expected = before.since if not before.allowed else later
            assert dataclasses.replace(after, since=None) == dataclasses.replace(before, since=None)
            assert not before.allowed or after.since == expected


def test_transition__carry__is_remembered_until_an_opt_in_and_set_by_nothing_but_a_move_to_in() -> None:
    for before, after, told in steps(EVENTS):
        if before.carry and not told.startswith("opt in"):
            assert after.carry, told
        if after.carry != before.carry and not told.startswith("opt in"):
            assert (before.applied_default, after.applied_default, before.choice) == (OUT, IN, NONE), told
            assert after.carry == before.plan, told


@pytest.mark.parametrize(
    ("state", "obstacle"),
    [
        (standing(), Reason.NO_SUBSCRIPTION),
        (standing(FREE, ended=True), Reason.NO_SUBSCRIPTION),
        (standing(FREE, locked=True), Reason.LOCKED),
        (standing(FREE, closed=True), Reason.ORGANIZATION_CLOSED),
        (standing(FREE, ended=True, locked=True), Reason.NO_SUBSCRIPTION),
        (standing(FREE, ended=True, locked=True, closed=True), Reason.ORGANIZATION_CLOSED),
    ],
)
def test_opt_in__no_subscription_lock_or_closed__is_refused_and_says_why(state: State, obstacle: Reason) -> None:
    assert rules.opt_in_obstacle(state) == obstacle
    with pytest.raises(ValueError, match=obstacle):
        rules.opt_in(state, NOW)


def test_opt_in__nothing_in_the_way__is_possible_on_every_standing() -> None:
    free = [s for s in STANDINGS if s.subscribed and not s.locked and not s.closed]
    assert free and all(rules.opt_in_obstacle(s) is None and opt_in(s).allowed for s in free)


def test_opt_in__needs_a_reason__exactly_where_the_plans_default_is_out() -> None:
    for state in STANDINGS:
        assert rules.opt_in_needs_reason(state) == (state.applied_default == OUT), state
