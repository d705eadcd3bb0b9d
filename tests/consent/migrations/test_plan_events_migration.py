"""The migration of plans' events: there and back the ledger stays as it was, and no event is lost on the way back."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts.models import Plan
from consent import ledger, triggers, verification
from consent.models import ConsentEvent
from consent.services import plans
from tests.support.cast import Cast

BEFORE = "0023_job_status_index"


@pytest.fixture(autouse=True)
def newest_again(transactional_db: None) -> Any:
    yield
    call_command("migrate", verbosity=0)


def held() -> list[dict[str, Any]]:
    return list(ConsentEvent.objects.order_by("pk").values())


def test_migrate__back_and_forth__plans_and_ledger_as_before(cast: Cast) -> None:
    ledger.sequence()
    before = held()
    call_command("migrate", "consent", BEFORE, verbosity=0)
    call_command("migrate", verbosity=0)
    assert held() == before and Plan.objects.count() == 7
    assert triggers.problems(connection) == [] and verification.verify().problems == []


def test_migrate__back_with_a_plan_that_was_made__refused_and_nothing_lost(cast: Cast) -> None:
    new = {"key": "le_chat_team_plus", "product": "le_chat", "name": "Le Chat Team Plus"}
    plans.create_plan(**new, actor=cast.provider, source="admin")
    before = held()
    with pytest.raises(CommandError, match="Nothing was changed: plans have been made"):
        call_command("migrate", "consent", BEFORE, verbosity=0)
    assert held() == before
