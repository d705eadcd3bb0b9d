"""The migration of training runs: there and back all is as it was, and no run is lost on the way back."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from consent import ledger, triggers, verification
from consent.models import TrainingRun
from tests.support.cast import Cast
from tests.support.training import register

BEFORE = "0029_consumers"


@pytest.fixture(autouse=True)
def newest_again(transactional_db: None) -> Any:
    yield
    call_command("migrate", verbosity=0)


def test_migrate__back_and_forth__guards_are_there_again(cast: Cast) -> None:
    ledger.sequence()
    call_command("migrate", "consent", BEFORE, verbosity=0)
    call_command("migrate", verbosity=0)
    assert triggers.problems(connection) == [] and verification.verify().problems == []


def test_migrate__back_with_a_run__refused_and_nothing_lost(cast: Cast) -> None:
    run = register(actor=cast.provider)
    with pytest.raises(CommandError, match="Nothing was changed: training runs have been registered"):
        call_command("migrate", "consent", BEFORE, verbosity=0)
    assert TrainingRun.objects.get() == run
