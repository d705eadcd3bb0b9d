"""Stores the rows of a file: read as a stream, a page in each transaction; for bad rows, what is wrong with them.

Of two rows about the same subject the first counts. A later one that is identical is skipped. One that differs is bad;
if they differ in something that can't be guessed (choice, plan), both are.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Count

from accounts.characters import storable
from accounts.fields import raw_id
from config.batched import batched

from .. import ledger
from ..files.loading import Value, load
from ..files.tables import FileRow, TableFile
from ..models import BulkJob, ImportProblem, ImportRow, ImportTable, ProblemKind
from .checking import CheckedRow, check_rows
from .fields import ImportPlan
from .judging import BAD, PAST
from .parsing import KEPT, Parser, Row, RowError, shown

_PAGE = 5_000
DUPLICATE = "duplicate"
_ROW_COLUMNS = ("job_id", "number", "line", *KEPT, "outcome", "loosens", "version")
_PROBLEM_COLUMNS = ("job_id", *RowError._fields)


@dataclasses.dataclass(frozen=True)
class _Same:
    """Which rows are about the same (`key`), in what they can differ, and which difference makes both bad."""

    key: tuple[str, ...]
    values: tuple[str, ...]
    disputed: str
    named: str  # the field that problems of such rows name


_SAME = {
    ImportTable.ORGANIZATIONS: [
        _Same(
            ("external_id",), ("name", "country", "choice", "email", "since", "kind", "status"), "choice", "external_id"
        )
    ],
    ImportTable.MEMBERS: [
        _Same(("organization", "email"), ("name", "role", "external_id", "since"), "", "email"),
        _Same(("organization", "external_id"), ("email",), "email", "external_id"),
    ],
    ImportTable.SUBSCRIPTIONS: [_Same(("organization", "product"), ("plan", "since"), "plan", "organization")],
    ImportTable.CHOICES: [_Same(("organization", "member", "product"), ("choice", "since"), "choice", "organization")],
}
_FIELD_OF = {"email": "owner_email"}  # column of ImportRow → field, where a table names it differently


def stage(job: BulkJob, file: TableFile, plan: ImportPlan, on_rows: Callable[[int], None] | None = None) -> bool:
    """Store the rows of the file, and what is wrong with them; returns whether any would loosen.

    Rows of an earlier reading that was interrupted are deleted first. Raises BadFile, and what `on_rows` raises.
    """
    drop_rows(job)
    parser = Parser(plan, ledger.clock())
    loosens, number, read = False, 0, 0
    for page in batched(file, _PAGE):
        good, problems = _read_page(page, plan, parser)
        loosens = loosens or any(found.loosens for found in good)
        read += len(page)
        with transaction.atomic():  # `on_rows` updates the job, so nobody can stop it or take it over until the commit
            if on_rows:
                on_rows(read)
            load(ImportRow._meta.db_table, _ROW_COLUMNS, _rows(job, good, number))
            keep_problems(job, problems)
        number += len(good)
    job.matched = number
    for same in _SAME[ImportTable(plan.table)]:
        _find_duplicates(job, same, plan)
    return loosens


def _read_page(page: Sequence[FileRow], plan: ImportPlan, parser: Parser) -> tuple[list[CheckedRow], list[RowError]]:
    """The valid rows, and the problems of all rows; for an invalid row only its faults."""
    rows: list[Row] = []
    problems: list[RowError] = []
    for record in page:
        row, faults = parser.parse(record)
        problems += faults
        if row is not None:
            rows.append(row)
    good: list[CheckedRow] = []
    for found in check_rows(plan.table, rows, parser):
        # What would be left as it is need not be said of a row that has to be corrected anyway.
        bad = bool(found.row.unread) or found.outcome == BAD
        problems += [each for each in found.problems if not bad or each.kind == ProblemKind.BAD]
        if not bad:
            good.append(found)
    return good, problems


def drop_rows(job: BulkJob) -> None:
    """Delete the job's rows and problems."""
    job.problems.all().delete()
    while numbers := list(job.import_rows.order_by("number").values_list("pk", flat=True)[:_PAGE]):
        ImportRow.objects.filter(pk__in=numbers).delete()


def _rows(job: BulkJob, looked: Sequence[CheckedRow], before: int) -> Iterator[tuple[Any, ...]]:
    for number, (row, outcome, _problems, loosens, version) in enumerate(looked, start=before + 1):
        yield (job.pk, number, row.line, *row[-len(KEPT) :], outcome, loosens, version)


# --- Rows about the same ----------------------------------------------------------------------------------------------


def _find_duplicates(job: BulkJob, same: _Same, plan: ImportPlan) -> None:
    """Find rows about the same: SQL pairs each later row with the first one, and the pairs are judged page by page."""
    key = ", ".join(f"{name}" for name in same.key)
    # Rows without an external id have no id in common.
    given = f"AND {same.key[-1]} <> ''" if same.key[-1] == "external_id" else ""
    values = ", ".join(f"r.{name}, f.{name}" for name in same.values)
    sql = f"""
SELECT r.id, r.line, f.id, f.line, r.{"external_id" if same.named == "external_id" else "email"}, {values}
FROM (SELECT id, FIRST_VALUE(id) OVER (PARTITION BY {key} ORDER BY number) AS first_id
      FROM consent_importrow WHERE job_id = %s AND outcome NOT IN ('{DUPLICATE}', '{BAD}', '{PAST}') {given}) AS k
JOIN consent_importrow AS r ON r.id = k.id JOIN consent_importrow AS f ON f.id = k.first_id
WHERE k.id <> k.first_id ORDER BY r.number"""
    disputed: set[int] = set()
    with connection.chunked_cursor() as cursor:  # a page at a time in memory, however many there are
        cursor.execute(sql, [raw_id(job.pk)])
        while found := cursor.fetchmany(_PAGE):
            _settle_duplicates(job, same, plan, found, disputed)


def _settle_duplicates(
    job: BulkJob, same: _Same, plan: ImportPlan, found: Sequence[tuple[Any, ...]], disputed: set[int]
) -> None:
    duplicates: list[int] = []
    bad: list[int] = []
    problems: list[RowError] = []
    column = plan.column(same.named)
    for pk, line, first_pk, first_line, text, *values in found:
        value = shown(text)
        differing = [name for n, name in enumerate(same.values) if values[2 * n] != values[2 * n + 1]]
        if not differing:
            duplicates.append(pk)
            continue
        bad.append(pk)
        names = ", ".join(
            plan.columns.get(name) or plan.columns.get(_FIELD_OF.get(name, ""), name) for name in differing
        )
        remedy = f"This stands in row {first_line} already, with another {names}. Keep one of the two."
        problems.append(RowError(line, column, value, remedy[:500]))
        # The first row is reported once, however many later ones differ from it.
        if same.disputed in differing and first_pk not in disputed:
            disputed.add(first_pk)
            bad.append(first_pk)
            other = plan.columns.get(same.disputed, same.disputed)
            remedy = f"This stands in row {line} again, with another {other}. Keep one of the two."
            problems.append(RowError(first_line, column, value, remedy[:500]))
    ImportRow.objects.filter(pk__in=duplicates).update(outcome=DUPLICATE)
    ImportRow.objects.filter(pk__in=bad).update(outcome=BAD)
    keep_problems(job, problems)


def keep_problems(job: BulkJob, problems: Sequence[RowError]) -> None:
    """Store problems of the job's rows."""
    if problems:
        kept: Iterator[tuple[Value, ...]] = (
            (job.pk, each.line, *[storable(text) for text in each[1:]]) for each in problems
        )
        load(ImportProblem._meta.db_table, _PROBLEM_COLUMNS, kept)


def counts(job: BulkJob) -> dict[str, int]:
    """Outcome → number of rows; the bad ones include those that were not stored."""
    found = dict(job.import_rows.order_by().values_list("outcome").annotate(Count("pk")))
    bad = job.problems.filter(kind=ProblemKind.BAD).order_by().values("line").distinct().count()
    return found | {BAD: bad} if bad else found
