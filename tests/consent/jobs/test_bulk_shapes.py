"""A job's set-based change has the same result, in all columns, as single changes, from every reachable state."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import models

from accounts.models import Organization
from consent import rules, verification
from consent.errors import Refused
from consent.jobs import cases, sql
from consent.jobs.cases import StateGroup
from consent.models import STATE_FIELDS, BulkJob, ConsentEvent, JobKind, PrivacySetting
from consent.rules import State
from consent.services import locks, organizations, plans
from consent.services.organizations import OrganizationDraft
from tests.support.jobs import IN, OUT, Team
from tests.support.recordings import Recorded

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
# What an organization went through: plans it was moved to, and choices made on the way.
HISTORIES: dict[str, tuple[str, ...]] = {
    "never subscribed": (),
    "free": ("le_chat_free",),
    "teams": ("le_chat_teams",),
    "teams, then free: carried over": ("le_chat_teams", "le_chat_free"),
    "free, then teams": ("le_chat_free", "le_chat_teams"),
    "opted in on teams, then free": ("le_chat_teams", IN, "le_chat_free"),
    "an opt-in dropped by a move": ("le_chat_free", IN, "le_chat_teams"),
    "dropped, then carried over": ("le_chat_free", IN, "le_chat_teams", "le_chat_pro"),
}
CASES = [
    case
    for case in itertools.product(HISTORIES, ("", OUT, IN), (False, True), (False, True), (False, True))
    if case[0] != "never subscribed" or (case[1] != IN and not case[2])
]
SHAPED = [kind for kind in JobKind if kind not in (JobKind.IMPORT, JobKind.REBIND)]  # these have no shapes
# A team, and organizations in every state, once or twice.
States = tuple[Any, ...]
# What differs from row to row whatever is done, and is compared in another way.
IDS = {"id", "organization", "job", "last_event", "choice_event", "carry_event", "lock_event"}
INSTANTS = {"recorded_at", "changed_at", "since"}


def lived_through(team: Team, history: str, choice: str, ended: bool, locked: bool, closed: bool) -> Organization:
    account: dict[str, Any] = {"actor": team.actor, "source": "admin"}
    organization = organizations.create_organization(draft=OrganizationDraft(name="Somebody"), **account)
    for step in [*HISTORIES[history], *([choice] if choice else [])]:
        if step in (IN, OUT):
            team.choose(organization, step)
        else:
            team.move(organization, step)
    if ended:
        plans.end_subscription(organization=organization, product="le_chat", **account)
    if locked:
        locks.place_lock(organization=organization, product="le_chat", reason="law", reference="§ 1", **account)
    if closed:
        organizations.close_organization(organization=organization, reason="over", **account)
    return organization


def make_states(times: int) -> States:
    team = Team()
    return team, *([lived_through(team, *case) for case in CASES] for _time in range(times))


def make_states_once() -> States:
    return make_states(1)


def make_states_twice() -> States:
    return make_states(2)


def columns(model: type[models.Model]) -> set[str]:
    return {field.name for field in model._meta.concrete_fields} - IDS - INSTANTS


def told(organization: Organization, since_before: object) -> dict[str, Any]:
    """All that is comparable about an organization's setting and its last event."""
    setting = PrivacySetting.objects.of_organizations().get(organization=organization, product="le_chat")
    event = ConsentEvent.objects.filter(organization=organization, product="le_chat").latest("pk")
    assert (setting.last_event_id, setting.changed_at, setting.state) == (event.pk, event.recorded_at, event.state)
    own = ConsentEvent.objects.filter(organization=organization).order_by("pk").values_list("pk", flat=True)
    order = {pk: number for number, pk in enumerate(own)}
    pointers = [setting.choice_event_id, setting.carry_event_id, setting.lock_event_id]
    return {
        "setting": {name: getattr(setting, name) for name in columns(PrivacySetting)},
        "event": {name: getattr(event, name) for name in columns(ConsentEvent)},
        "pointers": [order[pk] if pk else None for pk in pointers],
        "events": len(order),
        "since": "anew" if setting.since == event.recorded_at else "kept" if setting.since == since_before else "?",
    }


def sinces(organizations: Sequence[Organization]) -> list[object]:
    found = PrivacySetting.objects.of_organizations().filter(product="le_chat").values_list("organization", "since")
    by_organization = dict(found)
    return [by_organization.get(organization.pk) for organization in organizations]


# --- Choices: against the service ------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [OUT, IN])
def test_choice_job__every_state__does_what_the_service_does_one_by_one(
    db: None, recorded: Recorded[States], choice: str
) -> None:
    team, in_bulk, one_by_one = recorded(make_states_twice).load()
    before = dict(zip(one_by_one, (maybe(o) for o in one_by_one), strict=True))
    bulk_since, single_since = sinces(in_bulk), sinces(one_by_one)
    counted = ConsentEvent.objects.count()
    job = team.previewed(choice, in_bulk)
    foreseen = dict(job.preview)
    job = team.done(job)
    expected: Counter[str] = Counter()
    wrote: set[Organization] = set()
    for organization in one_by_one:
        outcome = by_service(team, organization, choice, before[organization])
        expected[outcome] += 1
        if outcome == "change":
            wrote.add(organization)
    assert foreseen == dict(expected)
    assert (job.changed, job.unchanged) == (expected.pop("change"), expected.pop("same"))
    assert job.refusals == dict(expected)
    assert ConsentEvent.objects.count() - counted == 2 * len(wrote)
    for n, (bulk, single) in enumerate(zip(in_bulk, one_by_one, strict=True)):
        if single in wrote:
            assert told(bulk, bulk_since[n]) == told(single, single_since[n]), CASES[n]
        else:
            assert sinces([bulk]) == [bulk_since[n]]
            assert not ConsentEvent.objects.filter(organization=bulk, job=job).exists(), CASES[n]
    assert verification.verify().problems == []


def maybe(organization: Organization) -> PrivacySetting | None:
    return PrivacySetting.objects.of_organizations().filter(organization=organization, product="le_chat").first()


def by_service(team: Team, organization: Organization, choice: str, before: PrivacySetting | None) -> str:
    """What became of it, in a job's words. In bulk alone an opt-in passes over an explicit "no" (R13)."""
    was = before.choice if before else "default"
    if was == choice:
        return "same"
    if (was, choice) == (OUT, IN):
        return "organization_opted_out"
    try:
        team.choose(organization, choice)
    except Refused as refusal:
        return refusal.code
    return "change"


# --- Defaults and undo: against the rules ----------------------------------------------------------------------------


@pytest.mark.parametrize("default", [OUT, IN])
def test_default_job__every_state_on_the_plan__is_what_the_rules_make_of_it(
    db: None, recorded: Recorded[States], default: str
) -> None:
    team, _organizations = recorded(make_states_once).load()
    if default == IN:  # as it can be only once it was "out"
        team.done(team.previewed_default("le_chat_free", OUT))
    states = snapshot()
    job = team.done(team.previewed_default("le_chat_free", default))
    subscribed = {pk for pk, state in states.items() if state.subscribed and state.plan == "le_chat_free"}
    assert job.matched == len(subscribed) > 20
    assert job.changed == sum(states[pk].applied_default != default for pk in subscribed)
    for pk, state in snapshot().items():
        expected = states[pk]
        if pk in subscribed and expected.applied_default != default:
            at = ConsentEvent.objects.filter(organization=pk, product="le_chat").latest("pk").recorded_at
            expected = rules.subscribe(expected, expected.plan, default, at)
        assert state == expected
    assert verification.verify().problems == []


@pytest.mark.parametrize("choice", [OUT, IN])
def test_undo__every_state__is_as_it_was_but_for_the_break(db: None, recorded: Recorded[States], choice: str) -> None:
    team, organizations = recorded(make_states_once).load()
    states = snapshot()
    job = team.done(team.previewed(choice, organizations))
    undo = team.done(team.previewed_undo(job))
    assert undo.changed == undo.matched == job.changed > 0
    for pk, state in snapshot().items():
        was = states.get(pk, State())
        kept = [name for name in STATE_FIELDS if name != "since"]
        assert [getattr(state, name) for name in kept] == [getattr(was, name) for name in kept]
        if was.allowed and ConsentEvent.objects.filter(organization=pk, job=undo).exists() and choice == OUT:
            assert state.since > was.since, "what came in between was not to be used (R6)"
    assert verification.verify().problems == []


def snapshot() -> dict[Any, State]:
    rows = PrivacySetting.objects.of_organizations().filter(product="le_chat")
    return {setting.organization_id: setting.state for setting in rows}


# --- The table itself ------------------------------------------------------------------------------------------------


def every_shape(kind: JobKind) -> Iterator[StateGroup]:
    wishes = ("default", IN, OUT) if kind == JobKind.UNDO else (IN, OUT)
    booleans = (False, True)
    for parts in itertools.product(
        booleans,
        ("", IN, OUT),
        ("default", IN, OUT),
        booleans,
        booleans,
        booleans,
        wishes,
        booleans,
        booleans,
        booleans,
    ):
        yield StateGroup(*parts)


@pytest.mark.parametrize("kind", SHAPED)
def test_answer__any_shape__loosens_only_as_the_kind_may(kind: JobKind) -> None:
    for shape in every_shape(kind):
        answer = cases.answer(kind, shape)
        if kind == JobKind.CHOICE and shape.wanted == OUT:
            assert not answer.loosens and not (answer.flips and answer.to_allowed)
        if kind == JobKind.CHOICE and shape.wanted == IN and shape.choice == OUT:
            assert answer.outcome != "change"
        if shape.changed:  # what loosens is left alone, whatever stands in its way today
            assert kind == JobKind.PLAN_DEFAULT or not answer.loosens
            assert kind == JobKind.PLAN_DEFAULT or answer.to_choice != IN or shape.choice == IN
        if shape.stale or answer.outcome != "change":
            assert (answer.to_choice, answer.to_default, answer.flips, answer.loosens) == (
                shape.choice, shape.applied_default, False, False,
            )  # fmt: skip
        if answer.flips and answer.to_allowed:
            assert answer.loosens


def test_answer__undo_behind_a_lock_or_closed_account__loosens_all_the_same() -> None:
    shape = StateGroup(True, IN, OUT, False, True, True, "default", False, False, False)
    answer = cases.answer(JobKind.UNDO, shape)
    assert not answer.to_allowed and answer.loosens


@pytest.mark.parametrize("value", ["x'; DROP TABLE", "a b", "ü-1"])
def test_literal__not_a_word_of_ours__is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="not a word of ours"):
        cases.literal(value)


@pytest.mark.parametrize("statement", [sql.count_shapes, lambda job: "".join(sql.changed_rows(job, []))])
def test_statements__every_kind__name_the_plan_of_a_default_only(statement: Callable[[BulkJob], str]) -> None:
    for kind in SHAPED:
        job = BulkJob(kind=kind, plan="le_chat_pro" if kind == JobKind.PLAN_DEFAULT else "")
        assert ("le_chat_pro" in statement(job)) is (kind == JobKind.PLAN_DEFAULT)
