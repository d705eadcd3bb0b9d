"""Asked and answered: what is counted of questions, for whom, and that no number tells what a member chose."""

import datetime as dt
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.access import Actor
from accounts.models import ApiKey
from consent import decisions, retention
from consent.lookups import Question
from consent.models import PEOPLE, AskedCount
from consent.services import asked
from tests.support.callers import World
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.console import opted_out_by_owner
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db
LE_CHAT = {"product": "le_chat"}


def today() -> dt.date:
    return timezone.now().astimezone(dt.UTC).date()


def stored(**which: Any) -> Counter[tuple[bool, str]]:
    """(answer, reason) → questions."""
    asked.flush()
    found: Counter[tuple[bool, str]] = Counter()
    for row in AskedCount.objects.filter(**which):
        found[row.allowed, row.reason_code] += row.questions
    return found


def question(world: World, **more: Any) -> dict[str, Any]:
    return {"organization": str(world.cast.labs.pk), "member": str(world.cast.labs_member.pk), **LE_CHAT, **more}


def ask(world: World, who: Any, **more: Any) -> None:
    assert who.post("decisions/", question(world, **more)).status_code == 200


# --- What is counted --------------------------------------------------------------------------------------------------


def test_count__of_questions_by_every_way__by_asker_day_answer_and_reason(world: World) -> None:
    ask(world, world.operator_key)
    ask(world, world.operator_key)
    ask(world, world.key)
    ask(world, world.owner)
    items = [question(world), question(world, product="ai_studio"), {"organization": "nobody"}]
    assert world.key.post("decisions/batch/", {"items": items}).status_code == 200
    evaluation = {
        "subject": {"type": "member", "id": str(world.cast.labs_member.pk)},
        "action": {"name": "train"},
        "resource": {"type": "product", "id": "le_chat"},
    }
    assert world.key.post("/access/v1/evaluation", evaluation).status_code == 200
    assert world.key.post("/access/v1/evaluations", {"evaluations": [evaluation] * 2}).status_code == 200
    keys = {name: pk for name, pk in ApiKey.objects.values_list("organization", "pk") if name} | {
        None: ApiKey.objects.filter(organization=None).earliest("pk").pk
    }
    used = (True, "plan_default")
    assert stored(organization=world.cast.labs, asker=PEOPLE) == {used: 1}
    assert stored(organization=world.cast.labs, day=today())[used] == 8
    assert stored(organization=world.cast.labs)[False, "plan_default"] == 1  # API Scale
    assert stored(organization=world.cast.labs, asker__in=keys.values())[used] >= 5
    assert AskedCount.objects.exclude(organization=world.cast.labs).count() == 0


def test_count__the_organizations_own_answer__whatever_the_member_chose(world: World) -> None:
    opt_out_as_member(world.cast)
    ask(world, world.operator_key)  # answered no, member_opted_out
    ask(world, world.key)  # answered no, member_private
    assert stored() == {(True, "plan_default"): 2}
    opted_out_by_owner(world.cast)
    ask(world, world.key)
    assert stored() == {(True, "plan_default"): 2, (False, "organization_opted_out"): 1}


def test_count__of_a_foreign_organization__counts_for_nobody(world: World) -> None:
    ask(world, world.foreign_key)
    ask(world, world.outsider)
    assert stored() == {}


def test_count__of_no_subscription__says_so(world: World) -> None:
    brage = {"organization": str(world.cast.brage.pk), "product": "ai_studio"}
    assert world.operator_key.post("decisions/", brage).status_code == 200
    assert stored(organization=world.cast.brage) == {(False, "no_subscription"): 1}


def test_count__of_malformed_and_refused_questions__none(world: World) -> None:
    assert world.key.post("decisions/", {"organization": "x"}).status_code == 400
    assert world.narrow_key.post("decisions/", question(world)).status_code == 403
    assert world.member.post("decisions/", question(world)).status_code == 403
    assert stored() == {}


def test_count__what_operators_look_up_themselves__is_not_counted(cast: Cast) -> None:
    decisions.decide(Question(organization=str(cast.labs.pk), product="ai_studio"), cast.provider)
    assert stored() == {}


def test_count__switched_off__none(world: World, settings: Any) -> None:
    settings.COUNT_QUESTIONS = False
    ask(world, world.key)
    assert stored() == {}


# --- Storing ----------------------------------------------------------------------------------------------------------


def noted(cast: Cast, number: int = 1, actor: Actor | None = None) -> None:
    who = actor or Actor.from_key(ApiKey.objects.first() or issue_key("K", ["decisions:read"])[0])
    found = decisions.decide_many([Question(organization=str(cast.labs.pk), product="ai_studio")] * number, who)
    asked.note(found.rows, found.scope, who, found.decided_at)


def test_flush__again_and_again__adds_up(cast: Cast) -> None:
    for _ in range(3):
        noted(cast, 4)
        asked.flush()
    asked.flush()
    row = AskedCount.objects.get()
    assert (row.questions, row.allowed, row.day) == (12, False, today())


def test_flush__by_several_threads_at_once__loses_nothing(cast: Cast) -> None:
    who = Actor.from_key(issue_key("K", ["decisions:read"])[0])
    found = decisions.decide_many([Question(organization=str(cast.labs.pk), product="ai_studio")] * 50, who)

    def work() -> None:
        for _ in range(200):
            asked.note(found.rows, found.scope, who, found.decided_at)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored() == {(False, "plan_default"): 4 * 200 * 50}


def test_flush__database_away__kept_and_stored_next_time(cast: Cast) -> None:
    noted(cast, 3)

    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if "consent_askedcount" in sql:
            raise OperationalError("the database is away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        asked.flush()
    assert not AskedCount.objects.exists()
    noted(cast, 2)
    assert stored() == {(False, "plan_default"): 5}


def test_retention__old_numbers__deleted(cast: Cast, settings: Any) -> None:
    noted(cast)
    asked.flush()
    row = AskedCount.objects.get()
    old = today() - dt.timedelta(days=settings.ASKED_DAYS + 1)
    AskedCount.objects.create(
        organization=cast.labs, day=old, asker=PEOPLE, allowed=True, reason_code="plan_default", questions=7
    )
    retention.tidy_up()
    assert list(AskedCount.objects.all()) == [row]
