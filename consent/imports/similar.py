"""Finds new organizations whose external ids look like known ones: nearly always the same ids, written differently.

Otherwise a duplicate would be created and opted out, while the data of the real organization stays in use.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connection

from accounts.fields import raw_id
from config.batched import batched

from ..models import BulkJob, ImportRow, ProblemKind
from .fields import ImportPlan
from .judging import BAD
from .parsing import RowError, shown
from .staging import keep_problems

SIMILAR = "similar"
_PAGE, _MOST = 2_000, 50_000
_LIKE = "COALESCE(NULLIF({0}.folded, ''), {0}.external_id)"
_NEW = "r.job_id = %s AND r.number > %s AND r.number <= %s AND r.outcome = '' AND r.external_id <> ''"
# New rows whose id looks like a known one. `folded` is '' if it equals the id, so a known id matches by its value or by
# `folded`: a subquery for each, which uses that index. For a join PostgreSQL would read all bindings for each chunk.
_KNOWN = f"""
SELECT * FROM (SELECT r.id, r.line, r.external_id, COALESCE(
    CASE WHEN r.folded <> '' THEN (
        SELECT MIN(b.value) FROM accounts_binding AS b
        WHERE b.member_id IS NULL AND b.value > '' AND b.value = r.folded) END,
    (SELECT MIN(b.value) FROM accounts_binding AS b
     WHERE b.member_id IS NULL AND b.folded > '' AND b.folded = {_LIKE.format("r")} AND b.value <> r.external_id
        AND b.value > '')) AS known
    FROM consent_importrow AS r WHERE {_NEW}) AS x WHERE known IS NOT NULL"""
# New rows whose id looks like that of an earlier row of the file.
_IN_FILE = f"""
SELECT r.id, r.line, r.external_id, f.external_id
FROM (SELECT r.id, FIRST_VALUE(r.id) OVER (PARTITION BY {_LIKE.format("r")} ORDER BY r.number) AS first_id
      FROM consent_importrow AS r WHERE {_NEW}) AS k
JOIN consent_importrow AS r ON r.id = k.id JOIN consent_importrow AS f ON f.id = k.first_id
WHERE r.external_id <> f.external_id"""


class _Twin(NamedTuple):
    pk: int
    line: int
    external_id: str
    known: str


def refuse_in_file(job: BulkJob, plan: ImportPlan) -> None:
    """While the file is read: mark rows as bad whose ids look like a known one, or like an earlier row's."""
    if plan.allow_similar:
        return
    everything = (raw_id(job.pk), 0, job.matched)
    _refuse(job, plan, _KNOWN, everything, ProblemKind.BAD)
    if job.import_rows.filter(outcome="").exclude(folded="").exists():  # else no two different ids can look alike
        _refuse(job, plan, _IN_FILE, everything, ProblemKind.BAD)


def refuse_in_chunk(job: BulkJob, plan: ImportPlan, last: int) -> int:
    """Before rows are applied: refuse those whose ids look like one that was given since. Returns how many."""
    if plan.allow_similar:
        return 0
    chunk = (raw_id(job.pk), job.cursor, last)
    return _refuse(job, plan, _KNOWN, chunk, ProblemKind.REFUSED)


def _refuse(job: BulkJob, plan: ImportPlan, sql: str, parameters: Sequence[Any], kind: ProblemKind) -> int:
    """Refuse the rows that `sql` finds; returns how many. They match no longer, so it runs until it finds none."""
    outcome = BAD if kind == ProblemKind.BAD else SIMILAR
    refused = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} ORDER BY 2 LIMIT {_MOST}", parameters)
            twins = {twin.pk: twin for twin in map(_Twin._make, cursor.fetchall())}
        if not twins:
            return refused
        for page in batched(twins.values(), _PAGE):
            ImportRow.objects.filter(pk__in=[twin.pk for twin in page]).update(outcome=outcome)
            keep_problems(job, [_problem(twin, plan, kind) for twin in page])
        refused += len(twins)


def _problem(twin: _Twin, plan: ImportPlan, kind: ProblemKind) -> RowError:
    remedy = (
        f"“{shown(twin.external_id)}” differs from “{shown(twin.known)}” by case, width, hyphens, quotes, apostrophes"
        " or leading zeros alone. If it is the same, write it as it is there; if they are two, allow similar ids"
        " (--allow-similar)."
    )
    return RowError(twin.line, plan.columns["external_id"], shown(twin.external_id), remedy[:500], kind.value)
