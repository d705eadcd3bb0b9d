"""An attested earlier start never reaches into, or back past, a time for which the ledger says no."""

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.access import Actor
from accounts.models import Member, Organization
from consent import decisions, rules, verification
from consent.models import ConsentEvent
from consent.rules import MEMBER_START, Span, State
from consent.services import choices, locks, organizations, plans
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.factories import ActorFactory
from tests.support.imports import Import, approve_and_run, importer

pytestmark = pytest.mark.slow

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
STEPS: dict[str, Any] = {
    "free": lambda state, at: rules.subscribe(state, "le_chat_free", "opted_in", at),
    "teams": lambda state, at: rules.subscribe(state, "le_chat_teams", "opted_out", at),
    "ended": rules.end_subscription,
    "out": rules.opt_out,
    "in": lambda state, at: state if rules.opt_in_obstacle(state) else rules.opt_in(state, at),
    "locked": rules.lock,
    "lifted": rules.lift_lock,
    "closed": rules.close,
    "reopened": rules.reopen,
}


def lived(steps: list[tuple[str, int]]) -> tuple[State, list[tuple[dt.datetime, bool]]]:
    """A layer's state after these steps, each some microseconds after the one before, and its history."""
    state, at, history = State(), START, []
    for name, later in steps:
        at += later * MICROSECOND
        state = STEPS[name](state, at)
        history.append((at, state.allowed))
    return state, history


def denied_at(history: list[tuple[dt.datetime, bool]], instant: dt.datetime) -> bool:
    """What a question as of that instant is answered; before the layer was known, nothing."""
    return (
        instant >= START
        and not dict([(START - MICROSECOND, False), *history])[
            max(at for at, _allowed in [(START - MICROSECOND, False), *history] if at <= instant)
        ]
    )


histories = st.lists(st.tuples(st.sampled_from(list(STEPS)), st.integers(0, 3)), max_size=8).map(
    lambda steps: [steps[0], *((name, max(later, 1)) for name, later in steps[1:])] if steps else []
)


@given(histories, st.integers(-5, 30))
def test_attest__any_history__nothing_that_was_denied_becomes_usable(steps: list[tuple[str, int]], offset: int) -> None:
    state, history = lived(steps)
    since, now = START + offset * MICROSECOND, START + dt.timedelta(seconds=1)
    spans = rules.denied_spans(START, history, now)
    between = [START + n * MICROSECOND for n in range(-5, 40)]
    assert {at for at in between if denied_at(history, at)} == {
        at for at in between if any(span.start <= at < (span.end or now) for span in spans)
    }
    if not rules.may_attest(state, since, spans):
        with pytest.raises(ValueError, match="an earlier start"):
            rules.attest(state, since, spans)
        return
    assert not any(denied_at(history, at) for at in between if at >= rules.attest(state, since, spans).since)


def test_attest__the_old_guard__would_have_let_a_denied_record_in() -> None:
    """The twin: to ask for the number of versions alone."""
    state, history = lived([("free", 5)])
    version = len(history)
    assert version == 1  # "nothing has happened yet", said the guard
    assert denied_at(history, START + 2 * MICROSECOND)
    assert not rules.may_attest(state, START + MICROSECOND, rules.denied_spans(START, history, START + 9 * MICROSECOND))


@pytest.mark.parametrize(
    ("state", "since", "spans"),
    [
        (State(), START, ()),
        (MEMBER_START, START, ()),
        (State(allowed=True, since=START), START, ()),
        (State(allowed=True, since=START), START + MICROSECOND, ()),
        (State(allowed=True, since=START), START - MICROSECOND, (Span(START - 9 * MICROSECOND, None),)),
        (State(allowed=True, since=START), START - 9 * MICROSECOND, (Span(START - MICROSECOND, START),)),
    ],
)
def test_attest__denied_or_no_earlier_start__refused(state: State, since: dt.datetime, spans: tuple[Span, ...]) -> None:
    with pytest.raises(ValueError, match="an earlier start"):
        rules.attest(state, since, spans)


# --- On the database ------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(db: None) -> Actor:
    return ActorFactory(of_commands=True)


def wander(organization: Organization, step: str, operator: Actor) -> None:
    by: dict[str, Any] = {"organization": organization, "actor": operator, "source": "command"}
    match step:
        case "free" | "pro" | "teams":
            plans.subscribe(plan=plans.get_plan(f"le_chat_{step}"), **by)
        case "ended":
            plans.end_subscription(product="le_chat", **by)
        case "in" | "out":
            choices.choose(
                surface=LE_CHAT_CONSOLE, choice=f"opted_{step}", reason="asked", version_required=False, **by
            )
        case "locked":
            locks.place_lock(product="le_chat", reason="law", reference="L-1", **by)
        case "lifted":
            locks.lift_lock(product="le_chat", reason="over", **by)
        case "closed":
            organizations.close_organization(reason="over", **by)
        case "reopened":
            organizations.reopen_organization(reason="back", **by)


def as_of(organization: Organization, member: Member, instant: dt.datetime, operator: Actor) -> Any:
    question = decisions.Question(str(organization.pk), "le_chat", str(member.pk), collected_at=instant, at=instant)
    return decisions.decide(question, operator).decision


def usable(organization: Organization, member: Member, instant: dt.datetime, operator: Actor) -> bool:
    question = decisions.Question(str(organization.pk), "le_chat", str(member.pk), collected_at=instant)
    return decisions.decide(question, operator).decision.allowed


HISTORIES = {
    "nothing": [],
    "moved": ["pro"],
    "out and in": ["out", "in"],
    "said in": ["in"],
    "locked and lifted": ["locked", "lifted"],
    "ended and again": ["ended", "free"],
    "teams and in": ["teams", "in"],
    "closed and reopened": ["closed", "reopened"],
    "all of it": ["out", "locked", "teams", "lifted", "in", "pro", "ended", "pro"],
}
FILES = {"choices": ("import_choices", "choice", "opted_in"), "subscriptions": ("import_subscriptions", "plan", "x")}


@pytest.mark.parametrize("made", ["by an import", "by the service", "by the service without a plan"])
@pytest.mark.parametrize("what", HISTORIES)
def test_import_since__any_history__nothing_that_was_denied_becomes_usable(
    operator: Actor, tmp_path: Path, what: str, made: str
) -> None:
    known = create(made, operator, tmp_path)
    for step in HISTORIES[what]:
        wander(known, step, operator)
    member = joined_long_ago(known, tmp_path)
    events = ConsentEvent.objects.filter(organization=known).exclude(kind__in=("member.joined", "since.attested"))
    instants = sorted({each.recorded_at + n * MICROSECOND for each in events for n in (-2, -1, 0, 1)})
    denied = [at for at in instants if not allowed_then(as_of(known, member, at, operator))]
    sinces = [START, *instants[:: max(1, len(instants) // 2)]]
    for since in sinces:
        for command, column, value in FILES.values():
            attest(importer(command, tmp_path), since, column, other_plan(known) if column == "plan" else value)
    assert [at for at in denied if usable(known, member, at, operator)] == []
    assert verification.verify().problems == []


def allowed_then(decision: Any) -> bool:
    """Whether a question as of then says no; of what was not known yet it says nothing. (The member joined later.)"""
    return decision.allowed or decision.reason in ("not_yet_known", "unknown_member", "collected_before_allowed")


def create(made: str, operator: Actor, folder: Path) -> Organization:
    if made == "by an import":
        result = importer("import_organizations", folder)("name,external_id\nSaga,saga\n", "--plan", "le_chat_free")
        assert result.json["created"] == 1
    else:
        held = [] if "without" in made else [plans.get_plan("le_chat_free")]
        draft = organizations.OrganizationDraft(name="Saga", external_id="saga", subscriptions=held)
        organizations.create_organization(draft=draft, actor=operator, source="admin")
    found = Organization.objects.get(external_id="saga")
    if "without" in made:
        wander(found, "free", operator)
    return found


def joined_long_ago(organization: Organization, folder: Path) -> Member:
    """A member whose start is attested: then all hangs on the organization's layer."""
    text = f"organization_external_id,email,since\nsaga,a@saga.example,{(START - dt.timedelta(days=9)).isoformat()}\n"
    mapped = [f"--map={name}={name}" for name in ("organization_external_id", "email", "since")]
    result = importer("import_members", folder)(text, *mapped, "--reference", "Contract 7")
    assert approve_and_run(result)["changed"] == 1
    return Member.objects.get(organization=organization)


def other_plan(organization: Organization) -> str:
    plan = organization.subscriptions.filter(product="le_chat", ended_at=None).values_list("plan_id", flat=True).first()
    return "le_chat_student" if plan != "le_chat_student" else "le_chat_pro"


def attest(load: Import, since: dt.datetime, column: str, value: str) -> None:
    columns = ["organization_external_id", column, "since", *(["product"] if column == "choice" else [])]
    values = ["saga", value, since.isoformat(), *(["le_chat"] if column == "choice" else [])]
    mapped = [f"--map={name}={name}" for name in columns]
    reason = ["--reason", "asked"] if column == "choice" else []
    result = load(f"{','.join(columns)}\n{','.join(values)}\n", *mapped, "--reference", "Contract 7", *reason)
    if result.code == 0 and result.json.get("status") == "awaiting_approval":
        approve_and_run(result)


@pytest.mark.parametrize("plan", ["le_chat_free", "le_chat_teams"])
@pytest.mark.parametrize("choice", ["", "opted_in", "opted_out"])
def test_import_organizations__since__no_instant_at_which_it_was_known_and_denied(
    operator: Actor, tmp_path: Path, plan: str, choice: str
) -> None:
    text = f"name,external_id,choice,since\nSaga,saga,{choice},{START.isoformat()}\n"
    mapped = [f"--map={name}={name}" for name in ("name", "external_id", "choice", "since")]
    options = [*mapped, "--reference", "Contract 7", "--plan", plan]
    options += ["--reason", "asked"] if choice == "opted_in" else []
    assert approve_and_run(importer("import_organizations", tmp_path)(text, *options))["changed"] == 1
    known = Organization.objects.get(external_id="saga")
    member = joined_long_ago(known, tmp_path)
    events = ConsentEvent.objects.filter(organization=known)
    instants = [each.recorded_at + n * MICROSECOND for each in events for n in (-2, -1, 0, 1)]
    denied = [at for at in instants if not allowed_then(as_of(known, member, at, operator))]
    assert [at for at in denied if usable(known, member, at, operator)] == []
    expected = choice == "opted_in" or (choice == "" and plan == "le_chat_free")
    assert usable(known, member, START + dt.timedelta(days=1), operator) == expected
    assert verification.verify().problems == []


def test_histories__as_the_rules_tell_them__are_walked_through() -> None:
    """The steps of a history follow each other in time, or the property above would hold of nothing."""
    _state, history = lived([("free", 1), ("out", 2), ("in", 1)])
    assert all(a < b for (a, _), (b, _) in pairwise(history))
    assert [allowed for _at, allowed in history] == [True, False, True]
