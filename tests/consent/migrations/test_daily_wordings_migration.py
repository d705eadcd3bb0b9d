"""Totals of choices by words: back to before there were any, and forth again, they are of the whole ledger."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Sum

from accounts.access import Actor
from consent import ledger, triggers
from consent.models import DailyWording
from consent.projections import runner
from consent.surfaces import LE_CHAT_CONSOLE, Shown
from tests.support.cast import Cast
from tests.support.choices import IN, OUT, choose

pytestmark = pytest.mark.django_db(transaction=True)


def test_migrate__back_and_forth__the_whole_ledger_is_counted_again(cast: Cast) -> None:
    for choice in (OUT, IN):
        actor = Actor.from_user(cast.owner, confirmed=True)
        choose(cast, choice, actor, shown=Shown(LE_CHAT_CONSOLE.wording, "en"))
    ledger.sequence()
    runner.catch_up("wordings")
    try:
        MigrationExecutor(connection).migrate([("consent", "0041_log_origins")])
        triggers.install(connection)  # as `manage.py migrate` does, whichever way it goes
    finally:
        call_command("migrate", verbosity=0)
    assert not DailyWording.objects.exists()
    runner.catch_up("wordings")
    assert DailyWording.objects.aggregate(all=Sum("choices"))["all"] == 2
