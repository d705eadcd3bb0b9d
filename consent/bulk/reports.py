"""What a job did, or would do, row by row and in numbers: for every face, and for people's spreadsheets."""

from collections.abc import Iterator
from typing import NamedTuple

from ..job_models import BulkJob
from . import shapes
from .exports import CSV, Out, csv_writer, json_writer

_BATCH = 5_000


class Numbers(NamedTuple):
    """Rows; `refused` by reason. Until the job runs they are the preview's."""

    changed: int
    unchanged: int
    refused: dict[str, int]


def numbers(job: BulkJob) -> Numbers:
    if job.started_at is not None:
        return Numbers(job.changed, job.unchanged, dict(job.refusals))
    refused = {name: count for name, count in job.preview.items() if name not in (shapes.CHANGE, shapes.SAME)}
    return Numbers(job.preview.get(shapes.CHANGE, 0), job.preview.get(shapes.SAME, 0), refused)


class ListedRow(NamedTuple):
    row: int
    organization: str
    external_id: str
    choice: str
    refusal: str


def listed_rows(job: BulkJob, *, refused: bool) -> Iterator[ListedRow]:
    """The job's rows in order, all of them or the refused ones; of those alone that were reached it is known."""
    rows = job.rows.order_by("number")
    if refused:
        rows = rows.exclude(refusal="")
    found = rows.values_list("number", "organization_id", "organization__external_id", "wanted", "refusal")
    for number, pk, external_id, wanted, refusal in found.iterator(_BATCH):
        yield ListedRow(number, str(pk), external_id or "", wanted or job.wanted, refusal)


def write_rows(job: BulkJob, out: Out, form: str, *, refused: bool) -> None:
    """As CSV or JSON Lines; the CSV goes back into a list of organizations."""
    columns = list(ListedRow._fields)
    put = csv_writer(out, columns) if form == CSV else json_writer(out, columns)
    for row in listed_rows(job, refused=refused):
        put(row)
