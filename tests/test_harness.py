"""The test harness: after a test that flushes the database, the ledger's triggers and the plans exist again."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, connection
from pytest_django import DjangoDbBlocker

from accounts.models import Organization, Plan
from consent import triggers
from consent.models import ConsentEvent, EventKind, PendingEvent
from tests.environment import scratch_directory

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SEVEN_PLANS = 7


@pytest.fixture
def looked_at_after_flush(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Requested before the database, so its second half runs when that one has been flushed."""
    yield
    with django_db_blocker.unblock():
        assert not Organization.objects.exists()
        assert not ConsentEvent.objects.exists()
        assert triggers.problems(connection) == []
        assert Plan.objects.count() == SEVEN_PLANS


def write_event() -> ConsentEvent:
    organization = Organization.objects.create(name="Flushed", created_at=NOW, changed_at=NOW)
    return ConsentEvent.objects.create(
        organization=organization,
        recorded_at=NOW,
        kind=EventKind.ORGANIZATION_CREATED,
        actor_type=ConsentEvent.ActorType.SYSTEM,
        source=ConsentEvent.Source.COMMAND,
    )


@pytest.mark.parametrize("time", ["first", "second"])
def test_flush__after_events_were_written__leaves_triggers_and_plans(
    time: str, looked_at_after_flush: None, transactional_db: None
) -> None:
    event = write_event()
    assert PendingEvent.objects.filter(pk=event.pk).exists()
    assert Plan.objects.count() == SEVEN_PLANS


def test_flush__while_the_test_runs__triggers_are_there(transactional_db: None) -> None:
    write_event()
    with pytest.raises(DatabaseError, match=triggers.REFUSAL), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {triggers.LEDGER}")
    assert ConsentEvent.objects.count() == 1


@pytest.mark.django_db
def test_database__of_a_test__is_none_of_the_developers() -> None:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        assert Path(name).parent == scratch_directory()
    else:
        assert name.startswith("test_")
    assert "tests" in settings.SECRET_KEY
