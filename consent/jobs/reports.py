"""What a job did, or would do, row by row and as numbers: for every interface, and as files."""

import functools
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from ..files.exports import WRITERS, Out
from ..models import BulkJob, JobKind
from . import cases, rebinding
from . import rows as job_rows
from .import_rows import before_and_after, rows_with_setting

_BATCH = 5_000
_REFUSED_COLUMNS = 5


class Numbers(NamedTuple):
    """Numbers of rows; `refused`: reason → number. Until the job runs they are those of the preview."""

    changed: int
    unchanged: int
    refused: dict[str, int]


def numbers(job: BulkJob) -> Numbers:
    if job.started_at is not None:
        return Numbers(job.changed, job.unchanged, dict(job.refusals))
    refused = {name: count for name, count in job.preview.items() if name not in (cases.CHANGE, cases.SAME)}
    return Numbers(job.preview.get(cases.CHANGE, 0), job.preview.get(cases.SAME, 0), refused)


class ListedRow(NamedTuple):
    """A row of a report. For choices and plans' defaults, `plan` and all after it are empty once the job runs."""

    row: int
    organization: str
    external_id: str
    choice: str
    refusal: str
    name: str = ""
    plan: str = ""
    before: str = ""
    after: str = ""
    used_before: bool | None = None
    used_after: bool | None = None
    since: str = ""
    loosens: bool | None = None
    member: str = ""  # id of the member that an external id is to mean


class SampleRow(NamedTuple):
    """A row of a preview, to be shown."""

    organization: str
    external_id: str
    name: str
    before: str
    after: str
    outcome: str
    used_before: bool | None
    used_after: bool | None
    since: str = ""


def sample(job: BulkJob, size: int = 10) -> list[SampleRow]:
    """Some rows: of an import those that change, loosening ones first; of other jobs those that change first."""
    if job.kind == JobKind.REBIND:
        return [
            SampleRow(
                str(row.organization.pk), row.external_id, row.organization.name, row.before, row.after, row.outcome,
                None, None,
            )
            for row in rebinding.sample(job, size)
        ]  # fmt: skip
    if job.kind != JobKind.IMPORT:
        return [
            SampleRow(
                str(row.organization.pk), row.organization.external_id or "", row.organization.name,
                row.before, row.after, row.outcome, row.used_before, row.used_after,
            )
            for row in job_rows.sample(job, size)
        ]  # fmt: skip
    some = rows_with_setting(job).filter(outcome="").order_by("-loosens", "number")[:size]
    return [
        SampleRow(
            row.organization, row.external_id, row.name, row.before, row.after, cases.CHANGE,
            row.used_before, row.used_after, row.since,
        )
        for row in map(functools.partial(_import_row, job), some)
    ]  # fmt: skip


def listed_rows(job: BulkJob, *, refused: bool, after: int = 0, limit: int | None = None) -> Iterator[ListedRow]:
    """The job's rows in order, all or only the refused ones: those with numbers above `after`, `limit` at most.

    Until the job runs, each has its current and new values; after that, rows not reached yet have no result.
    """
    if job.kind == JobKind.IMPORT:
        found = _of_import(job, refused, after)
    elif job.kind == JobKind.REBIND:
        found = _rebound(job, refused, after)
    elif job.started_at is None and not refused:
        found = _previewed(job, after)
    else:
        found = _kept(job, refused, after)
    yield from islice(found, limit)


def _kept(job: BulkJob, refused: bool, after: int) -> Iterator[ListedRow]:
    rows = job.rows.filter(number__gt=after).order_by("number")
    if refused:
        rows = rows.exclude(refusal="")
    of = "organization__"
    found = rows.values_list("number", "organization_id", f"{of}external_id", f"{of}name", "wanted", "refusal")
    for number, pk, external_id, name, wanted, refusal in found.iterator(_BATCH):
        yield ListedRow(number, str(pk), external_id or "", wanted or job.wanted, refusal, name)


def _previewed(job: BulkJob, after: int) -> Iterator[ListedRow]:
    for first in range(after, job.matched, _BATCH):
        for row in job_rows.listed(job, first, min(first + _BATCH, job.matched)):
            # Rows that change, or are so already, are not refused.
            passed_over = "" if row.outcome in (cases.CHANGE, cases.SAME) else row.outcome
            organization = row.organization
            now_and_then = (row.plan, row.before, row.after, row.used_before, row.used_after)
            yield ListedRow(
                row.number, str(organization.pk), organization.external_id or "", row.wanted, passed_over,
                organization.name, *now_and_then,
            )  # fmt: skip


def _of_import(job: BulkJob, refused: bool, after: int) -> Iterator[ListedRow]:
    """The valid rows, in the file's order; the others are in the job's problems."""
    found = rows_with_setting(job).filter(number__gt=after).order_by("number")
    if refused:
        found = found.exclude(outcome="")
    yield from map(functools.partial(_import_row, job), found.iterator(_BATCH))


def _import_row(job: BulkJob, row: Any) -> ListedRow:
    """From a row of `rows_with_setting`. Existing organizations are shown by their own name and id, not the file's."""
    told = {name: getattr(row, name) for name in ("plan", "choice", "role", "now_plan", "now_choice")}
    plan, now, then = before_and_after(job, told | {"of_member": row.member is not None})
    return ListedRow(
        row.number,
        str(row.organization or ""),
        row.here_external_id or row.external_id or "",
        row.choice,
        row.outcome,
        row.here_name or row.name,
        plan,
        now,
        then,
        row.now_used,
        None,
        row.since.isoformat() if row.since else "",
        row.loosens,
    )


def _rebound(job: BulkJob, refused: bool, after: int) -> Iterator[ListedRow]:
    """The ids, with their subjects before and after; a CSV of these rows is a valid file for another rebinding."""
    for row in rebinding.listed(job, after):
        passed_over = "" if row.outcome in (cases.CHANGE, cases.SAME) else row.outcome
        if passed_over or not refused:
            organization, member = row.organization, str(row.member or "")
            yield ListedRow(
                row.number, str(organization.pk), row.external_id, "", passed_over, organization.name,
                before=row.before, after=row.after, member=member,
            )  # fmt: skip


def write_rows(job: BulkJob, out: Out, form: str, *, refused: bool) -> None:
    """Write the rows in a form of `WRITERS`; as CSV they are a valid list of organizations.

    Refused rows have only the first columns: which row, and why.
    """
    columns = list(ListedRow._fields[: _REFUSED_COLUMNS if refused else None])
    put = WRITERS[form](out, columns)
    for row in listed_rows(job, refused=refused):
        put(row[: len(columns)])
