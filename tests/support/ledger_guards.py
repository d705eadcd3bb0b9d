"""Helpers for tests of the ledger: raw SQL, the ledger's content, and changes made with its triggers dropped."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model

from accounts.models import ApiKey, Binding, Invitation, Member, Organization, OutgoingMessage, Subscription, User
from consent import triggers
from consent.models import (
    ConsentEvent,
    Consumer,
    ConsumerDataset,
    CoolingOff,
    EventPosition,
    Lock,
    PendingEvent,
    PositionAdvance,
    PrivacySetting,
)
from tests.conftest import lift_triggers

TABLES = (
    Organization, User, Member, Subscription, Lock, PrivacySetting, ConsentEvent, PendingEvent, EventPosition,
    ApiKey, Binding, Invitation, OutgoingMessage, CoolingOff, Consumer, ConsumerDataset, PositionAdvance,
)  # fmt: skip


def sql(statement: str, parameters: Sequence[Any] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def rows(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def everything() -> list[list[tuple[Any, ...]]]:
    """Every row of every table that a change could affect, without the time of a key's last use."""
    return [rows(statement) for statement in _statements()]


@functools.cache
def _statements() -> list[str]:
    """As the database holds them: to be compared no value has to be converted."""
    return [
        f"SELECT {', '.join(columns(table, but='last_used_at'))} FROM {table._meta.db_table}"
        f" ORDER BY {connection.ops.quote_name(table._meta.pk.column)}"
        for table in TABLES
    ]


def columns(table: type[Model], but: str) -> list[str]:
    fields = table._meta.concrete_fields
    return [connection.ops.quote_name(field.column) for field in fields if field.column != but]


def settle() -> None:
    """Check deferred constraints now: while checks are pending, PostgreSQL refuses to alter the tables."""
    if connection.vendor == "postgresql":
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        sql("SET CONSTRAINTS ALL DEFERRED")


@contextlib.contextmanager
def behind_the_guards() -> Iterator[None]:
    """Run the block without the ledger's triggers, as the owner of the tables could."""
    settle()
    lift_triggers()
    yield
    settle()
    triggers.install(connection)
    assert triggers.problems(connection) == []


@contextlib.contextmanager
def changes_nothing() -> Iterator[None]:
    before = everything()
    yield
    assert everything() == before


@contextlib.contextmanager
def refusal(error: type[Exception], code: str = "", field: str = "") -> Iterator[None]:
    """Assert that the block raises exactly this error, with this code and field, and changes nothing."""
    with changes_nothing():
        with pytest.raises(error) as caught:
            yield
        assert type(caught.value) is error
        if code:
            assert (caught.value.code, caught.value.field) == (code, field)
            assert str(caught.value), "a person is told why"


def last_event() -> ConsentEvent:
    return ConsentEvent.objects.latest("pk")


def kinds_since(last: int) -> list[str]:
    return list(ConsentEvent.objects.filter(pk__gt=last).order_by("pk").values_list("kind", flat=True))
