"""Lists of organizations, of any size: read as a stream, loaded beside the tables, matched there by the database."""

import uuid
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.access import split_ident
from accounts.models import Organization

from ..job_models import BulkJob
from ..services.errors import Invalid
from .loading import Value, load
from .rows import job_id
from .selection import Fault, Wish

NAMED = 20  # bad rows, and unknown ids, that are spelled out; of more there is the number
_CREATE = "CREATE TEMPORARY TABLE bulk_list (line BIGINT, pk {id}, external_id TEXT, wanted VARCHAR(10))"
_FIND = """
CREATE TEMPORARY TABLE bulk_found AS
SELECT x.line, x.pk, x.external_id, x.wanted, COALESCE(i.id, e.id) AS organization_id
FROM bulk_list AS x
LEFT JOIN accounts_organization AS i ON i.id = x.pk
LEFT JOIN accounts_organization AS e ON e.external_id = x.external_id"""
_UNKNOWN = """
SELECT line, pk, external_id, COUNT(*) OVER () FROM bulk_found WHERE organization_id IS NULL ORDER BY line LIMIT %s"""
_CONTRADICTING = """
SELECT line, pk, external_id, COUNT(*) OVER () FROM (
    SELECT line, pk, external_id, wanted, FIRST_VALUE(wanted) OVER (PARTITION BY organization_id ORDER BY line) AS first
    FROM bulk_found WHERE organization_id IS NOT NULL) AS x
WHERE wanted <> first ORDER BY line LIMIT %s"""
_INSERT = """
INSERT INTO consent_bulkjobrow (job_id, number, organization_id, wanted, carry, refusal)
SELECT %s, ROW_NUMBER() OVER (ORDER BY x.organization_id), x.organization_id, x.wanted, '', ''
FROM (SELECT organization_id, MIN(wanted) AS wanted FROM bulk_found GROUP BY organization_id) AS x"""


class BadList(Invalid):
    """Rows that can't be meant, `bad` of them, and ids that no organization has, `missing`; the first are spelled."""

    def __init__(self, faults: "_Faults", unknown: "_Faults") -> None:
        self.problems, self.bad = faults.texts(), faults.count
        self.unknown, self.missing = unknown.texts(), unknown.count
        if self.bad:
            text = ngettext("%(n)s bad row", "%(n)s bad rows", self.bad) % {"n": self.bad}
            super().__init__("bad_rows", f"{text}. {self.problems[0]}", "organizations")
        else:
            some = ", ".join(self.unknown[:5])
            super().__init__("unknown_organization", _("There is no organization %s.") % some, "organizations")


class Frozen(NamedTuple):
    """Which choices occur, and how many rows were left out because they are not within the selection."""

    choices: frozenset[str]
    left_out: int


class _Faults:
    """All counted, the first in order of lines kept."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[Fault] = []

    def add(self, fault: Fault, count: int = 1) -> None:
        self.count += count
        self._first = sorted([*self._first, fault])[:NAMED]

    def add_found(self, found: list[tuple[Fault, int]]) -> None:
        """Those of the database, each with the number that there are of them all."""
        for n, (fault, count) in enumerate(found):
            self.add(fault, 0 if n else count)

    def texts(self) -> list[str]:
        return [fault.text for fault in self._first]


def freeze_list(job: BulkJob, wishes: Iterable[Wish | Fault], within: QuerySet[Organization] | None = None) -> Frozen:
    """The rows of a job, one per organization of the list, in order of organization. Wants a transaction of its own.

    Raises BadList where a row can't be meant, an id is nobody's, or an organization has both choices.
    """
    faults, unknown, choices = _Faults(), _Faults(), set[str]()
    with connection.cursor() as cursor:
        cursor.execute(_CREATE.format(id="UUID" if connection.vendor == "postgresql" else "CHAR(32)"))
        load("bulk_list", ("line", "pk", "external_id", "wanted"), _sorted_out(wishes, faults, unknown, choices))
        cursor.execute(_FIND)
        cursor.execute("DROP TABLE bulk_list")
        unknown.add_found([(Fault(line, ident), count) for line, ident, count in _first(cursor, _UNKNOWN)])
        if len(choices) > 1:
            faults.add_found(
                [(_contradiction(line, ident), count) for line, ident, count in _first(cursor, _CONTRADICTING)]
            )
        if faults.count or unknown.count:
            raise BadList(faults, unknown)
        left_out = _keep_within(cursor, within) if within is not None else 0
        cursor.execute(_INSERT, [job_id(job)])
        job.matched = cursor.rowcount
        cursor.execute("DROP TABLE bulk_found")
    job.save(update_fields=["matched"])
    return Frozen(frozenset(choices), left_out)


def _sorted_out(
    wishes: Iterable[Wish | Fault], faults: _Faults, unknown: _Faults, choices: set[str]
) -> Iterator[tuple[Value, ...]]:
    """What the database is to look up; the rest told apart at once."""
    for wish in wishes:
        if isinstance(wish, Fault):
            faults.add(wish)
            continue
        choices.add(wish.choice)
        pk, external_id = split_ident(wish.ident)
        if pk or external_id:
            yield wish.line, pk, external_id, wish.choice
        else:
            unknown.add(Fault(wish.line, wish.ident))


def _first(cursor: Any, statement: str) -> list[tuple[int, str, int]]:
    """Line, ident, and how many there are of this kind."""
    cursor.execute(statement, [NAMED])
    return [
        (line, f"external:{external_id}" if external_id else str(uuid.UUID(str(pk))), count)
        for line, pk, external_id, count in cursor.fetchall()
    ]


def _contradiction(line: int, ident: str) -> Fault:
    words = {"row": line, "id": ident}
    return Fault(
        line,
        _("row %(row)s, column choice: “%(id)s” stands in the file before, with the other choice. Keep one.") % words,
    )


def _keep_within(cursor: Any, within: QuerySet[Organization]) -> int:
    """Drops who is not selected; returns how many rows that were."""
    same = within.order_by().filter(pk=RawSQL("bulk_found.organization_id", [])).values_list("pk")
    sql, parameters = same.query.sql_with_params()
    cursor.execute(f"DELETE FROM bulk_found WHERE NOT EXISTS ({sql})", parameters)
    return int(cursor.rowcount)
