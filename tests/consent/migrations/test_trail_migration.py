"""The migrations of the access trail: the ledger is kept with its triggers, and nothing is lost on the way back."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from consent import ledger, triggers, verification
from consent.models import ConsentEvent, EventKind
from consent.services import trail
from tests.support.cast import Cast
from tests.support.ledger_guards import rows

BEFORE = [("consent", "0006_teams_by_history")]


@pytest.fixture(autouse=True)
def placed(cast: Cast) -> None:
    ledger.sequence()


@pytest.fixture(autouse=True)
def newest_again(transactional_db: None) -> Any:
    yield
    call_command("migrate", verbosity=0)


def held() -> list[dict[str, Any]]:
    return list(ConsentEvent.objects.order_by("pk").values())


def test_migrate__back_and_forth_without_access_events__ledger_and_guards_as_before(cast: Cast) -> None:
    before = held()
    MigrationExecutor(connection).migrate(BEFORE)
    assert "target" not in {column for column, *_ in columns()}
    call_command("migrate", verbosity=0)
    assert held() == before
    assert triggers.problems(connection) == [] and verification.verify().problems == []
    if connection.vendor == "postgresql":
        assert rows("SELECT conname FROM pg_constraint WHERE NOT convalidated") == []
    assert all(each in checks() for each in ("event_of_no_layer", "event_kind_known", "event_source_known"))


def checks() -> str:
    """Their names, within the text that the database keeps: of SQLite's, Django's introspection overlooks the last."""
    if connection.vendor == "sqlite":
        return str(rows(f"SELECT sql FROM sqlite_master WHERE name = '{triggers.LEDGER}'"))
    return str(rows(f"SELECT conname FROM pg_constraint WHERE conrelid = '{triggers.LEDGER}'::regclass"))


def columns() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        return [tuple(each) for each in connection.introspection.get_table_description(cursor, triggers.LEDGER)]


def test_migrate__back_with_access_events__refused_and_none_lost(cast: Cast) -> None:
    with transaction.atomic():
        trail.note(EventKind.ACCESS_DATA_EXPORTED, organization=None, actor=cast.provider, source="admin")
    before = held()
    with pytest.raises(IrreversibleError, match="access events"):
        MigrationExecutor(connection).migrate(BEFORE)
    call_command("migrate", verbosity=0)
    assert held() == before and verification.verify().problems == []


@pytest.mark.parametrize("target", [("consent", "0005"), ("accounts", "zero")], ids=" ".join)
def test_migrate_command__back_with_access_events__refused_before_the_first_step(
    target: tuple[str, str], cast: Cast
) -> None:
    with transaction.atomic():
        trail.note(EventKind.ACCESS_DATA_EXPORTED, organization=None, actor=cast.provider, source="admin")
    applied = MigrationRecorder(connection).applied_migrations()
    with pytest.raises(CommandError, match="Nothing was changed: the ledger has access events"):
        call_command("migrate", *target, verbosity=0)
    assert MigrationRecorder(connection).applied_migrations() == applied
    assert triggers.problems(connection) == [] and verification.verify().problems == []
