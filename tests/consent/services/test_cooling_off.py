"""Cooling-off: who may change its days, that its history answers past instants, and that nothing else can write it."""

import datetime as dt
import itertools
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, Organization, User
from consent import decisions, ledger, verification
from consent.errors import ConfirmationRequired, Invalid, Refused
from consent.lookups import Question
from consent.models import ConsentEvent, CoolingOff, EventKind
from consent.rules import Reason
from consent.services import cooling_off, operator_requests
from tests.support.cast import Cast
from tests.support.clocks import clock_at
from tests.support.concurrency import race
from tests.support.factories import OrganizationFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import behind_the_guards, changes_nothing, refusal, sql

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
DAY = dt.timedelta(days=1)
MICROSECOND = dt.timedelta(microseconds=1)


def lengthen(cast: Cast, days: int, product: str = "le_chat", **more: Any) -> CoolingOff | None:
    return cooling_off.lengthen(product=product, days=days, **{"actor": cast.provider, "source": "admin"} | more)


def shorten(cast: Cast, days: int, product: str = "le_chat") -> CoolingOff:
    """As confirmed by a second operator."""
    wanted = cooling_off.change_to(product, days)
    with transaction.atomic():
        return cooling_off.shorten(wanted, actor=cast.provider, source="admin", reason="agreed")


# --- Changing --------------------------------------------------------------------------------------------------------


def test_lengthen__by_an_operator__is_at_once_and_an_event(cast: Cast) -> None:
    assert CoolingOff.objects.in_force() == {"le_chat": 0, "ai_studio": 0}
    made = lengthen(cast, 30, reason="As the board decided.")
    assert made is not None and CoolingOff.objects.in_force() == {"le_chat": 30, "ai_studio": 0}
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.target, event.before, event.after, event.product, event.organization_id) == (
        EventKind.COOLING_OFF_CHANGED, "le_chat", "0", "30", None, None,
    )  # fmt: skip
    assert (made.event_id, made.since, event.reason) == (event.pk, event.recorded_at, "As the board decided.")
    before, at = (CoolingOff.objects.in_force(instant)["le_chat"] for instant in (made.since - MICROSECOND, made.since))
    assert (before, at) == (0, 30)
    assert verification.verify().problems == []


def test_lengthen__same_days__writes_nothing(cast: Cast) -> None:
    lengthen(cast, 7)
    with changes_nothing():
        assert lengthen(cast, 7) is None


def test_lengthen__fewer_days__need_a_second_operator(cast: Cast) -> None:
    lengthen(cast, 7)
    with refusal(Refused, "second_person", "days"):
        lengthen(cast, 6)


@pytest.mark.parametrize("days", [-1, 3_651, 10**9])
def test_lengthen__days_out_of_range__are_refused(cast: Cast, days: int) -> None:
    with refusal(Invalid, "invalid", "days"):
        lengthen(cast, days)


def test_lengthen__unknown_product__is_refused(cast: Cast) -> None:
    with refusal(Invalid, "unknown_product", "product"):
        lengthen(cast, 7, "mistral")


def test_lengthen__by_anybody_but_an_operator_in_person__is_forbidden(cast: Cast) -> None:
    key, _text = issue_key("Sync", list(ApiKey.Scope.values), issued_by=User.objects.filter(is_staff=True).first())
    for actor in (Actor.from_key(key), Actor.from_user(cast.owner, confirmed=True), Actor.system(), Actor.on_machine()):
        with refusal(Forbidden):
            lengthen(cast, 7, actor=actor)


def test_lengthen__without_showing_who_one_is__is_refused(cast: Cast) -> None:
    assert cast.provider.user is not None
    with changes_nothing(), pytest.raises(ConfirmationRequired):
        lengthen(cast, 7, actor=Actor.from_user(cast.provider.user))


def test_shorten__days_changed_since_it_was_asked__is_refused(cast: Cast) -> None:
    lengthen(cast, 30)
    wanted = cooling_off.change_to("le_chat", 7)
    lengthen(cast, 60)
    with refusal(Refused, "changed_since"), transaction.atomic():
        cooling_off.shorten(wanted, actor=cast.provider, source="admin", reason="agreed")


def test_ask__days_that_one_may_set_alone__are_refused(cast: Cast) -> None:
    lengthen(cast, 7)
    for days in (7, 8):
        with refusal(Refused, "days", "days"):
            operator_requests.ask(
                kind="cooling_off", product="le_chat", days=days, actor=cast.provider, reason="agreed"
            )


def test_changes__clock_set_back__still_follow_each_other(cast: Cast) -> None:
    first = lengthen(cast, 7)
    assert first is not None
    with clock_at(first.since - DAY):
        second = lengthen(cast, 9)
    assert second is not None and second.since == first.since + MICROSECOND


@pytest.mark.django_db(transaction=True)
def test_lengthen__while_another_lengthens_more__is_judged_by_the_days_of_then(cast: Cast) -> None:
    """Both begin at 0 days: without a lock the second would make 7 days of 30, which takes two operators."""
    with pytest.raises(Refused) as caught:
        race(lambda: lengthen(cast, 30), lambda: lengthen(cast, 7))
    assert caught.value.code == "second_person"
    assert [each.days for each in CoolingOff.objects.all()] == [30]


# --- Answers ---------------------------------------------------------------------------------------------------------

COOLING, FINE = (False, Reason.COOLING_OFF), (True, Reason.PLAN_DEFAULT)


@pytest.fixture
def frida(cast: Cast) -> Organization:
    """A person on Le Chat Free for the last 30 days; nothing is cooling off."""
    with clock_at(ledger.clock() - 30 * DAY):
        made: Organization = OrganizationFactory(personal=True, plan="le_chat_free", actor=cast.provider)
    return made


def asked(organization: Organization, actor: Actor, **more: Any) -> tuple[bool, str]:
    """Alone, in a batch, and in a batch with a question that has an instant: by each statement the same answer."""
    question = Question(organization=str(organization.pk), product="le_chat", **more)
    alone = decisions.decide(question, actor).decision
    for others in ([], [Question(organization="?", product="?", at=ledger.clock())]):
        assert decisions.decide_many([question, question, *others], actor).decisions[:2] == [alone, alone]
    return alone.allowed, alone.reason


def test_decide__cooling_off__by_the_days_in_force_at_the_instant_asked_about(cast: Cast, frida: Organization) -> None:
    start = frida.created_at

    def ask(**days: float | dt.datetime) -> tuple[bool, str]:
        instants = {name: start + DAY * n if isinstance(n, int | float) else n for name, n in days.items()}
        return asked(frida, cast.provider, **instants)

    with clock_at(start + 10 * DAY):
        lengthen(cast, 5)
    with clock_at(start + 20 * DAY):
        shorten(cast, 1)
    just_before = {day: start + day * DAY - MICROSECOND for day in (10, 13, 20)}
    assert ask(collected_at=8, at=just_before[10]) == FINE, "nothing was cooling off"
    assert ask(collected_at=8, at=10) == ask(collected_at=8, at=just_before[13]) == COOLING
    assert ask(collected_at=8, at=13) == FINE
    assert ask(collected_at=18, at=just_before[20]) == COOLING
    assert ask(collected_at=18, at=20) == FINE, "the days of now, not those of when it was collected"
    assert ask(collected_at=28) == FINE
    assert ask() == ask(at=10) == FINE, "about the setting, not about a record"
    assert ask(collected_at=ledger.clock() - DAY + dt.timedelta(minutes=5)) == COOLING
    assert ask(collected_at=ledger.clock() - DAY - dt.timedelta(minutes=5)) == FINE


def test_decide__cooling_off_of_another_product__does_not_count(cast: Cast, frida: Organization) -> None:
    lengthen(cast, 5, "ai_studio")
    assert asked(frida, cast.provider, collected_at=ledger.clock()) == FINE


def test_decide__cooling_off__says_from_when_on(cast: Cast, frida: Organization) -> None:
    lengthen(cast, 50)
    question = Question(organization=str(frida.pk), product="le_chat", collected_at=frida.created_at + DAY)
    answer = decisions.decide(question, cast.provider)
    assert answer.decision.usable_from == frida.created_at + 51 * DAY
    assert answer.decision.usable_from.isoformat() in answer.detail


def test_decide__more_days__allow_nothing_that_fewer_denied(cast: Cast, frida: Organization) -> None:
    ages = [dt.timedelta(days=age, minutes=5) for age in range(30)]
    now = ledger.clock()
    allowed = set(ages)
    for days in (0, 1, 7, 7, 28, 365):
        lengthen(cast, days)
        still = {age for age in ages if asked(frida, cast.provider, collected_at=now - age)[0]}
        assert still <= allowed and still == {age for age in ages if age.days >= days and age < 30 * DAY}
        allowed = still


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.integers(0, 3), min_size=1, max_size=5))
def test_decide__any_history_of_days__answers_like_a_plain_replay(
    cast: Cast, frida: Organization, history: list[int]
) -> None:
    start = frida.created_at + dt.timedelta(hours=1)  # the person joined a moment after the organization
    with transaction.atomic():
        changes = [(start, 0)]
        for n, days in enumerate(history, start=1):
            with clock_at(start + n * DAY):
                made = shorten(cast, days) if days < changes[-1][1] else lengthen(cast, days)
            if made is not None:
                changes.append((made.since, days))
        for collected_at, at in itertools.product((start + n * DAY for n in range(6)), repeat=2):
            for instant in (at - MICROSECOND, at):
                if instant >= collected_at:
                    days = [days for since, days in changes if since <= instant][-1]
                    expected = FINE if collected_at + days * DAY <= instant else COOLING
                    assert asked(frida, cast.provider, collected_at=collected_at, at=instant) == expected
        assert verification.verify().problems == []
        transaction.set_rollback(True)


# --- Nothing else writes it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE consent_coolingoff SET days = 0",
        "DELETE FROM consent_coolingoff",
        pytest.param("TRUNCATE consent_coolingoff", marks=pytest.mark.only_on("postgresql")),
        pytest.param(
            "INSERT OR REPLACE INTO consent_coolingoff SELECT id, product, since, 0, event_id FROM consent_coolingoff",
            marks=pytest.mark.only_on("sqlite"),
        ),
        pytest.param(
            "INSERT OR REPLACE INTO consent_coolingoff SELECT id + 1, product, since, 0, event_id + 1"
            " FROM consent_coolingoff",
            marks=pytest.mark.only_on("sqlite"),
        ),
    ],
)
def test_history__raw_sql__is_refused(cast: Cast, statement: str) -> None:
    lengthen(cast, 7)
    with changes_nothing(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)


def test_history__models__refuse(cast: Cast) -> None:
    made = lengthen(cast, 7)
    assert made is not None
    for change in (made.save, made.delete, CoolingOff.objects.all().delete, CoolingOff.objects.update):
        with changes_nothing(), pytest.raises(TypeError, match="append-only"):
            change()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE consent_coolingoff SET days = 1", "the cooling-off of le_chat does not say so"),
        ("UPDATE consent_coolingoff SET since = since - 1", "no such event"),
        ("DELETE FROM consent_coolingoff", "the cooling-off of le_chat does not say so"),
        (
            "UPDATE consent_consentevent SET before = '3' WHERE kind = 'cooling_off.changed'",
            "(cooling_off.changed) does not follow from what was before it",
        ),
    ],
)
def test_verify__cooling_off_tampered_with__names_it(cast: Cast, statement: str, problem: str) -> None:
    lengthen(cast, 7)
    with behind_the_guards():
        sql(statement)
    assert any(problem in each for each in verification.verify().problems)


@pytest.mark.parametrize(("column", "value"), [("days", "3651"), ("product", "'mistral'")])
def test_database__values_out_of_range__are_refused(cast: Cast, column: str, value: str) -> None:
    values = {"product": "'le_chat'", "since": "1", "days": "1", "event_id": "1"} | {column: value}
    with pytest.raises(DatabaseError), transaction.atomic():
        sql(f"INSERT INTO consent_coolingoff ({', '.join(values)}) VALUES ({', '.join(values.values())})")
    assert connection.vendor and not CoolingOff.objects.exists()
