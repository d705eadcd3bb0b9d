"""What is wrong with the rows of an import, as CSV or JSON Lines, for people who correct the file; streamed."""

from ..files.exports import WRITERS, Out
from ..models import BulkJob

COLUMNS = ["row", "column", "value", "remedy", "kind"]


def write_problems(job: BulkJob, out: Out, form: str) -> None:
    """Write all problems of the job, in order of the file; `form` is a key of WRITERS."""
    put = WRITERS[form](out, COLUMNS)
    found = job.problems.order_by("line", "pk").values_list("line", "column", "value", "remedy", "kind")
    for row in found.iterator(2_000):
        put(row)
