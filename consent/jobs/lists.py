"""Lists of organizations of any size: read as a stream, loaded into a temporary table, matched there by SQL."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from accounts.fields import external_ident, from_raw_id, raw_id, split_ident
from accounts.models import Organization

from ..files.loading import Value, load
from ..models import BulkJob
from .list_errors import NAMED, BadList, Faults
from .selection import ListedChoice, ListError

# The list as it was read.
_CREATE = "CREATE TEMPORARY TABLE bulk_list (line BIGINT, pk {id}, external_id TEXT, wanted VARCHAR(10))"
# Each line with its organization, by id or by live external id; NULL if there is none.
_FIND = """
CREATE TEMPORARY TABLE bulk_found AS
SELECT x.line, x.pk, x.external_id, x.wanted, COALESCE(i.id, e.organization_id) AS organization_id
FROM bulk_list AS x
LEFT JOIN accounts_organization AS i ON i.id = x.pk
LEFT JOIN accounts_binding AS e ON e.value = x.external_id AND e.member_id IS NULL AND e.withdrawn_at IS NULL"""
# Lines without an organization: the first of them, each with the number of all.
_UNKNOWN = """
SELECT line, pk, external_id, COUNT(*) OVER () FROM bulk_found WHERE organization_id IS NULL ORDER BY line LIMIT %s"""
# Lines whose choice differs from the first line of the same organization; counted likewise.
_CONTRADICTING = """
SELECT line, pk, external_id, COUNT(*) OVER () FROM (
    SELECT line, pk, external_id, wanted, FIRST_VALUE(wanted) OVER (PARTITION BY organization_id ORDER BY line) AS first
    FROM bulk_found WHERE organization_id IS NOT NULL) AS x
WHERE wanted <> first ORDER BY line LIMIT %s"""
# One row for each organization, in order of its id: nothing contradicts here, so MIN is the only value.
_INSERT = """
INSERT INTO consent_bulkjobrow (job_id, number, organization_id, wanted, carry, refusal)
SELECT %s, ROW_NUMBER() OVER (ORDER BY x.organization_id), x.organization_id, x.wanted, '', ''
FROM (SELECT organization_id, MIN(wanted) AS wanted FROM bulk_found GROUP BY organization_id) AS x"""


class Frozen(NamedTuple):
    """The choices that occur, and how many rows were left out because they are not in the selection."""

    choices: frozenset[str]
    left_out: int


def freeze_list(
    job: BulkJob, wishes: Iterable[ListedChoice | ListError], within: QuerySet[Organization] | None = None
) -> Frozen:
    """Store the rows of a job, one per organization of the list, in order of its id. Expects the caller's transaction.

    Raises BadList if a row is invalid, an id belongs to no organization, or an organization has both choices.
    """
    faults, unknown, choices = Faults(), Faults(), set[str]()
    with connection.cursor() as cursor:
        cursor.execute(_CREATE.format(id="UUID" if connection.vendor == "postgresql" else "CHAR(32)"))
        load("bulk_list", ("line", "pk", "external_id", "wanted"), _sorted_out(wishes, faults, unknown, choices))
        cursor.execute(_FIND)
        cursor.execute("DROP TABLE bulk_list")
        unknown.add_found([(ListError(line, ident), count) for line, ident, count in _first(cursor, _UNKNOWN)])
        # With a single choice in the whole list no lines can contradict each other.
        if len(choices) > 1:
            faults.add_found(
                [(_contradiction(line, ident), count) for line, ident, count in _first(cursor, _CONTRADICTING)]
            )
        if faults.count or unknown.count:
            raise BadList(faults, unknown)
        left_out = _keep_within(cursor, within) if within is not None else 0
        cursor.execute(_INSERT, [raw_id(job.pk)])
        job.matched = cursor.rowcount
        cursor.execute("DROP TABLE bulk_found")
    job.save(update_fields=["matched"])
    return Frozen(frozenset(choices), left_out)


def _sorted_out(
    wishes: Iterable[ListedChoice | ListError], faults: Faults, unknown: Faults, choices: set[str]
) -> Iterator[tuple[Value, ...]]:
    """Rows for the temporary table; invalid rows and malformed ids are put into `faults` and `unknown`."""
    for wish in wishes:
        if isinstance(wish, ListError):
            faults.add(wish)
            continue
        choices.add(wish.choice)
        pk, external_id = split_ident(wish.ident)
        if pk or external_id:
            yield wish.line, pk, external_id, wish.choice
        else:
            unknown.add(ListError(wish.line, wish.ident))


def _first(cursor: Any, statement: str) -> list[tuple[int, str, int]]:
    """The first NAMED lines that a statement finds: (line, ident, number of all such lines)."""
    cursor.execute(statement, [NAMED])
    return [
        (line, external_ident(external_id) if external_id else str(from_raw_id(pk)), count)
        for line, pk, external_id, count in cursor.fetchall()
    ]


def _contradiction(line: int, ident: str) -> ListError:
    words = {"row": line, "id": ident}
    return ListError(
        line,
        _("row %(row)s, column choice: “%(id)s” appears earlier in the file with the other choice. Keep only one.")
        % words,
    )


def _keep_within(cursor: Any, within: QuerySet[Organization]) -> int:
    """Drop rows of organizations that are not selected; returns how many."""
    same = within.order_by().filter(pk=RawSQL("bulk_found.organization_id", [])).values_list("pk")
    sql, parameters = same.query.sql_with_params()
    cursor.execute(f"DELETE FROM bulk_found WHERE NOT EXISTS ({sql})", parameters)
    return int(cursor.rowcount)
