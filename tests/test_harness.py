"""The test harness: after a test that flushes the database, the ledger's triggers and the plans exist again."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from pytest_django import DjangoDbBlocker

from accounts.models import Organization, Plan
from consent import triggers, wordings
from consent.models import ConsentEvent, EventKind, PendingEvent
from tests.conftest import sample
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
        with transaction.atomic():
            wordings.renew()  # which the database refuses if the ledger was ever in use


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


def test_sample__of_a_table_of_cases__all_on_sqlite_and_a_third_on_postgresql() -> None:
    def cases(folder: str) -> list[Any]:
        path = Path(f"tests/consent/{folder}/test_it.py")
        names = [*(f"{path}::test_table[{n}]" for n in range(90)), f"{path}::test_alone"]
        return [SimpleNamespace(path=path, nodeid=name) for name in names]

    api = [each.nodeid for each in sample(cases("api"), "postgresql")]
    assert api[0].endswith("test_table[0]") and api[-1].endswith("test_alone") and 20 < len(api) < 45
    assert api == [each.nodeid for each in sample(cases("api"), "postgresql")]
    assert len(sample(cases("core"), "postgresql")) == 91
    assert len(sample(cases("api"), "sqlite")) == 91 and sample(cases("migrations"), "sqlite") == []
