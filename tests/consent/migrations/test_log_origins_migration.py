"""The migration that says of each checkpoint under which origin it was signed."""

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from consent import ledger, triggers, verification
from consent.log import origins
from consent.models import LogCheckpoint
from consent.services import restored
from tests.support.cast import Cast
from tests.support.log import add_events, kept, step

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE = [("consent", "0040_validate_log_events")]


def test_migrate__log_that_was_signed__is_the_first_origin_and_can_go_on(cast: Cast) -> None:
    add_events(3)
    with kept():
        step()
        add_events(3)
        step()
    before = list(LogCheckpoint.objects.values_list())
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        triggers.install(connection)  # as `manage.py migrate` does, whichever way it goes
    finally:
        call_command("migrate", verbosity=0)
    assert list(LogCheckpoint.objects.values_list()) == before and {row[1] for row in before} == {1}
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_logcheckpoint")
    with kept():
        add_events(1)
        step()
        assert LogCheckpoint.objects.count() == len(before) + 1
        assert verification.verify().problems == []


def test_migrate_back__another_origin_has_begun__refused(cast: Cast) -> None:
    ledger.sequence()
    with kept():
        step()
        head = ledger.head()
        with transaction.atomic():
            restored.begin_epoch(epoch=2, restored_to=head, lost_to=head, actor=cast.provider, reason="Disk failed")
            origins.begin_next(paused=False)
        ledger.sequence()
        step()
    before = list(LogCheckpoint.objects.values_list())
    with pytest.raises(CommandError, match="the log has begun another origin"):
        call_command("migrate", "consent", "0040", verbosity=0)
    assert list(LogCheckpoint.objects.values_list()) == before and len(before) == 2
