"""Properties of `resolve` that hold for every question, tested with hypothesis."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from consent import rules
from consent.rules import MEMBER_START, Choice, Decision, Layers, Membership, Reason, State, resolve

EPOCH = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)
# Few instants, so that ties and neighbours are common.
instants = st.integers(0, 12).map(lambda n: EPOCH + dt.timedelta(microseconds=n))
coolings = st.integers(0, 8).map(lambda n: dt.timedelta(microseconds=n))


@st.composite
def organization_states(draw: st.DrawFn) -> State:
    choice = draw(st.sampled_from(list(Choice)))
    state = State(
        plan="le_chat_free",
        subscribed=draw(st.booleans()),
        applied_default=draw(st.sampled_from(["opted_in", "opted_out"])),
        choice=choice,
        carry="" if choice == Choice.OPTED_IN else draw(st.sampled_from(["", "le_chat_teams"])),
        locked=draw(st.booleans()),
        closed=draw(st.booleans()),
        since=draw(instants),
    )
    allowed, reason = rules.judge(state)
    return replace(state, allowed=allowed, reason_code=reason)


@st.composite
def member_states(draw: st.DrawFn) -> State:
    state = MEMBER_START
    for at in sorted(draw(st.lists(instants, max_size=3))):
        state = draw(st.sampled_from([rules.member_opt_out, rules.member_opt_in]))(state, at)
    return state


@st.composite
def memberships(draw: st.DrawFn) -> Membership:
    joined, other = sorted((draw(instants), draw(instants)))
    return Membership(joined, draw(st.sampled_from([None, other])))


mostly = st.sampled_from([True, True, True, False])
questions = st.builds(
    Layers,
    now=instants,
    at=st.none() | instants,
    collected_at=st.none() | instants,
    organization_known=mostly,
    product_known=mostly,
    data_kind_known=mostly,
    first_event_at=st.just(EPOCH) | st.none() | instants,
    named_since=st.none() | instants,
    organization=organization_states(),
    member_asked=mostly,
    member_needed=mostly,
    membership=st.none() | memberships(),
    member=member_states(),
    member_told=st.just(True),
    cooling_off=st.just(rules.NO_COOLING_OFF) | coolings,
    collected_at_needed=st.sampled_from([False, False, False, True]),
    restored=st.sampled_from([False, False, False, True]),
)


@st.composite
def allowed_questions(draw: st.DrawFn) -> Layers:
    """Questions that are allowed, built so: "nothing makes it worse, or better" shall not be vacuous."""
    choice, default = draw(
        st.sampled_from([("default", "opted_in"), ("opted_in", "opted_in"), ("opted_in", "opted_out")])
    )
    state = State(plan="le_chat_free", subscribed=True, applied_default=default, choice=choice, since=draw(instants))
    state = replace(state, allowed=True, reason_code=rules.judge(state)[1])
    member = draw(member_states())
    if not member.allowed:
        member = rules.member_opt_in(member, draw(instants))
    joined = draw(instants)
    begins = max(joined, *(layer.since for layer in (state, member) if layer.since))
    layers = Layers(
        now=EPOCH + dt.timedelta(seconds=1),
        collected_at=draw(st.none() | st.timedeltas(dt.timedelta(0), dt.timedelta(milliseconds=1)).map(begins.__add__)),
        first_event_at=EPOCH,
        organization=state,
        member_needed=draw(st.booleans()),
        membership=Membership(joined),
        member=member,
        member_told=True,
    )
    assert resolve(layers).allowed
    return layers


def changed(layers: Layers, **changes: object) -> Layers:
    return replace(layers, **changes)  # type: ignore[arg-type]


@given(questions)
def test_resolve__whatever_the_question__gives_one_of_the_known_answers(layers: Layers) -> None:
    decision = resolve(layers)
    assert decision.reason not in {Reason.DEFAULT, Reason.MEMBER_OPTED_IN}
    if decision.allowed:
        assert decision.reason in {Reason.ORGANIZATION_OPTED_IN, Reason.PLAN_DEFAULT}
    else:
        assert decision.reason != Reason.ORGANIZATION_OPTED_IN


@given(questions | allowed_questions())
def test_resolve__allowed__means_that_every_layer_allows_and_nothing_is_unknown(layers: Layers) -> None:
    decision = resolve(layers)
    if not decision.allowed:
        return
    state = layers.organization
    assert state.subscribed and not state.locked and not state.closed and state.choice != Choice.OPTED_OUT
    assert state.choice == Choice.OPTED_IN or (state.applied_default == "opted_in" and not state.carry)
    assert layers.organization_known and layers.product_known and layers.data_kind_known
    assert all(answer.allowed for answer in decision.layers)
    if layers.member_needed:
        assert layers.membership is not None and layers.member.choice != Choice.OPTED_OUT
    if layers.collected_at is not None:
        assert layers.collected_at <= (layers.at or layers.now)
        assert all(answer.since is None or answer.since <= layers.collected_at for answer in decision.layers)


@given(allowed_questions(), organization_states().filter(lambda state: not state.allowed))
def test_resolve__organization_denies__is_denied_whatever_else_allows(layers: Layers, denying: State) -> None:
    decision = resolve(changed(layers, organization=denying))
    assert (decision.allowed, decision.reason) == (False, denying.reason_code)


@given(allowed_questions())
def test_resolve__less_is_known__never_more_is_allowed(layers: Layers) -> None:
    less: list[dict[str, object]] = [
        {"organization_known": False},
        {"product_known": False},
        {"data_kind_known": False},
        {"first_event_at": None},
        {"organization": State()},
        {"membership": None},
    ]
    if layers.member_needed:
        less.append({"member_asked": False, "membership": None})
    for missing in less:
        assert not resolve(changed(layers, **missing)).allowed, missing


@given(questions, st.data())
def test_resolve__information_removed_from_a_denial__does_not_turn_it_into_a_yes(
    layers: Layers, data: st.DataObject
) -> None:
    assume(not resolve(layers).allowed)
    missing: list[dict[str, object]] = [
        {"organization_known": False},
        {"product_known": False},
        {"data_kind_known": False},
        {"first_event_at": None},
        {"organization": State()},
        {"organization": replace(layers.organization, since=None)},
    ]
    if layers.member_needed:
        missing += [{"membership": None}, {"member_asked": False, "membership": None}]
    assert not resolve(changed(layers, **data.draw(st.sampled_from(missing)))).allowed


@given(questions, member_states())
def test_resolve__any_choice_of_the_member__never_brings_in_what_no_choice_keeps_out(
    layers: Layers, own: State
) -> None:
    if resolve(changed(layers, member=own)).allowed:
        assert resolve(changed(layers, member=MEMBER_START)).allowed


@given(questions, member_states())
def test_resolve__product_without_a_members_surface__answers_alike_for_any_choice(layers: Layers, own: State) -> None:
    layers = changed(layers, member_needed=False)
    assert resolve(layers) == resolve(changed(layers, member=own))


@given(allowed_questions(), instants)
def test_resolve__collected_later_by_one_who_is_still_there__stays_allowed(layers: Layers, later: dt.datetime) -> None:
    if layers.collected_at is not None:
        assert resolve(changed(layers, collected_at=max(later, layers.collected_at))).allowed


@given(questions)
def test_resolve__same_question_again__same_answer(layers: Layers) -> None:
    assert resolve(layers) == resolve(layers)


# --- Cooling-off -----------------------------------------------------------------------------------------------------


@given(questions | allowed_questions(), coolings, coolings)
def test_resolve__longer_cooling_off__never_allows_more_and_says_so_last(
    layers: Layers, one: dt.timedelta, other: dt.timedelta
) -> None:
    without = resolve(replace(layers, cooling_off=rules.NO_COOLING_OFF))
    shorter, longer = (resolve(replace(layers, cooling_off=days)) for days in sorted((one, other)))
    assert without.allowed >= shorter.allowed >= longer.allowed
    for decision in (shorter, longer):
        assert decision.reason == (without.reason if decision.allowed == without.allowed else Reason.COOLING_OFF)


@given(questions | allowed_questions(), coolings)
def test_resolve__cooling_off__ends_at_the_instant_that_the_decision_names(layers: Layers, days: dt.timedelta) -> None:
    layers = replace(layers, cooling_off=days)
    decision = resolve(layers)
    assert (decision.usable_from is not None) == (decision.reason == Reason.COOLING_OFF)
    if decision.usable_from is None:
        return
    assert decision.usable_from > (layers.at or layers.now)
    late = replace(layers, at=None, now=decision.usable_from)
    assert resolve(late).allowed
    assert resolve(replace(late, now=decision.usable_from - dt.timedelta(microseconds=1))).reason == Reason.COOLING_OFF


# --- A member's choice is theirs (R4) ---------------------------------------------------------------------------------


def resolve_uncut(layers: Layers) -> Decision:
    """As it was once: the member's layer left out of the reason, and given back all the same."""
    told = resolve(replace(layers, member_told=True))
    if not told.layers or not layers.member_needed:
        return told
    own = told.layers[0]
    return Decision(False, Reason.MEMBER_PRIVATE if own.allowed else Reason(own.reason), told.layers)


def same_whatever_the_member_chose(
    resolving: Callable[[Layers], Decision], phases: Iterable[Phase] = tuple(Phase)
) -> None:
    @settings(phases=phases)
    @given(questions | allowed_questions(), member_states())
    def check(layers: Layers, other: State) -> None:
        asked = replace(layers, member_told=False)
        decision = resolving(asked)
        assert decision == resolving(replace(asked, member=other))
        assert all(answer.layer != "member" for answer in decision.layers)
        assert not (decision.allowed and layers.member_needed)

    check()


def test_resolve__somebody_who_is_not_told__same_decision_whatever_the_member_chose() -> None:
    same_whatever_the_member_chose(resolve)


def test_resolve__without_the_cut__caught() -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):  # a group, where it fails in several ways
        same_whatever_the_member_chose(resolve_uncut, [Phase.generate])  # nobody reads a smallest example


@given(questions)
def test_layers__nobody_says_who_is_told__nobody_is(layers: Layers) -> None:
    fields = {each.name: getattr(layers, each.name) for each in dataclasses.fields(layers)}
    del fields["member_told"]
    assert resolve(Layers(**fields)) == resolve(replace(layers, member_told=False))
