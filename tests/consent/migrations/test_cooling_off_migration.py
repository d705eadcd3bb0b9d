"""The migration of cooling-off: there and back nothing else changes, and no history of days is lost on the way back."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from consent import ledger, triggers, verification
from consent.models import ConsentEvent, CoolingOff
from consent.services import cooling_off
from tests.support.cast import Cast

BEFORE = "0027_validate_pipeline_events"


@pytest.fixture(autouse=True)
def newest_again(transactional_db: None) -> Any:
    yield
    call_command("migrate", verbosity=0)


def test_migrate__back_and_forth__the_table_is_guarded_again(cast: Cast) -> None:
    ledger.sequence()
    before = list(ConsentEvent.objects.order_by("pk").values())
    call_command("migrate", "consent", BEFORE, verbosity=0)
    call_command("migrate", verbosity=0)
    assert list(ConsentEvent.objects.order_by("pk").values()) == before
    assert triggers.problems(connection) == [] and verification.verify().problems == []


def test_migrate__back_with_days_that_were_set__refused_and_nothing_lost(cast: Cast) -> None:
    cooling_off.lengthen(product="le_chat", days=7, actor=cast.provider, source="admin")
    with pytest.raises(CommandError, match="Nothing was changed: cooling-off periods have been changed"):
        call_command("migrate", "consent", BEFORE, verbosity=0)
    assert CoolingOff.objects.in_force()["le_chat"] == 7 and triggers.problems(connection) == []
