"""The reader of prepared statements: the same rows as a cursor, whatever becomes of statements and connection."""

from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import DataError, OperationalError, ProgrammingError

from accounts import prepared_sql
from accounts.authentication import prefix_of
from config import timeouts
from consent import ledger, lookups
from consent.lookup_sql import STATEMENTS
from consent.lookups import Question
from consent.services import members, organizations
from tests.support.callers import World, by_key

pytestmark = [
    pytest.mark.only_on("postgresql", reason="SQLite needs no reader"),
    pytest.mark.django_db(transaction=True),
]
ASKED = "SELECT %s::int, %s::text, %s::bool, 'a%%' LIKE 'a%%'"


def fetched(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    connection.ensure_connection()
    return prepared_sql.fetch_prepared(sql, parameters)


def prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements")
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.parametrize("statement", [key for key in STATEMENTS if key[0] == "postgresql"], ids=str)
def test_reader__any_statement__same_rows_as_a_cursor(world: World, statement: tuple[str, bool, bool]) -> None:
    vendor, one, as_of = statement
    by: dict[str, Any] = {"actor": world.cast.provider, "source": "admin"}
    organizations.update_organization(organization=world.cast.labs, external_id='a"b\\c,{NULL}', **by)
    members.update_member(member=world.cast.labs_member, external_id="NULL", **by)
    key = by_key("decisions:read", issued_by=world.cast.operator).headers["Authorization"].removeprefix("Bearer ")
    at = ledger.clock() if as_of else None
    asked = [
        Question(organization, "le_chat", member, at=at)
        for organization in (str(world.cast.labs.pk), 'external:a"b\\c,{NULL}', "external:a", "gold")
        for member in (None, str(world.cast.labs_member.pk), "external:NULL", "external:null\\")
    ]
    if one:
        given = [[*lookups.asked_of(vendor, 0, each), prefix_of(key)] for each in asked]
    else:
        items = [lookups.asked_of(vendor, n, each) for n, each in enumerate(asked)]
        given = [[lookups.array_text(column) for column in zip(*items, strict=True)]]
    found = set()
    for parameters in given:
        ours = fetched(STATEMENTS[statement], *parameters)
        with transaction.atomic():  # there a cursor runs it
            theirs = fetched(STATEMENTS[statement], *parameters)
        now = lookups.Row._fields.index("now")
        same = [[value for n, value in enumerate(row) if n != now] for row in ours]
        assert same == [[value for n, value in enumerate(row) if n != now] for row in theirs]
        assert [list(map(type, row)) for row in ours] == [list(map(type, row)) for row in theirs]
        found |= {
            (row.organization_id, row.member_id)
            for row in (lookups.Row._make(row[: len(lookups.Row._fields)]) for row in ours)
        }
    assert found >= {(world.cast.labs.pk, world.cast.labs_member.pk), (None, None)}


@pytest.mark.parametrize("kept", [True, False])
def test_reader__parameters__arrive_as_they_are(kept: bool, settings: Any) -> None:
    settings.PREPARED_STATEMENTS = kept
    connection.close()
    for _ in range(2):
        assert fetched(ASKED, 1, "é'\\%s$1", True) == [(1, "é'\\%s$1", True, True)]
        assert fetched(ASKED, None, None, None) == [(None, None, None, True)]
    assert len([name for name in prepared() if name.startswith("reader_")]) == kept


def test_reader__nul_in_a_text__refused_and_nothing_asked() -> None:
    with pytest.raises(DataError, match="NUL"):
        fetched(ASKED, 1, "a\x00b", True)
    assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_reader__statement_deallocated__prepared_again(statement: str) -> None:
    assert fetched(ASKED, 1, "a", True) == fetched(ASKED, 1, "a", True)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]


def test_reader__column_changed_meanwhile__prepared_again() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changed (value int); INSERT INTO changed VALUES (7)")
        assert fetched("SELECT value FROM changed") == [(7,)]
        cursor.execute("ALTER TABLE changed ALTER COLUMN value TYPE text")
        assert fetched("SELECT value FROM changed") == fetched("SELECT value FROM changed") == [("7",)]


def test_reader__statement_of_its_name_is_there__is_the_same() -> None:
    """Behind a pooler the statement may have been prepared by somebody else."""
    assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]
    (name,) = [name for name in prepared() if name.startswith("reader_")]
    connection.connection.__dict__.pop("reader")
    assert fetched(ASKED, 2, "b", False) == [(2, "b", False, True)]
    assert [each for each in prepared() if each.startswith("reader_")] == [name]


def test_reader__statement_wrong__error_and_nothing_remembered() -> None:
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="nothing_there"):
            fetched("SELECT * FROM nothing_there")
    with pytest.raises(DataError, match="invalid input syntax"):
        fetched(ASKED, "x", "a", True)
    assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]


def test_reader__too_slow__ended_by_the_server_and_usable_again() -> None:
    connection.ensure_connection()
    with timeouts.limited(timeouts.Limits(0.1, 0.1)):
        with pytest.raises(OperationalError, match="statement timeout"):
            fetched("SELECT pg_sleep(5)::text")
        assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]


def test_reader__connection_lost__opened_again() -> None:
    assert fetched(ASKED, 1, "a", True)
    lost = connection.connection
    with psycopg.connect(**psycopg.conninfo.conninfo_to_dict(lost.info.dsn), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [lost.info.backend_pid])
    assert fetched(ASKED, 1, "a", True) == [(1, "a", True, True)]
    assert connection.connection is not lost
