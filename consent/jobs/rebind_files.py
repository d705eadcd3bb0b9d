"""Files of external ids that are to be given to other subjects, read as a stream."""

from collections.abc import Iterator
from typing import NamedTuple

from django.utils.translation import gettext as _

from ..files.subject_columns import refuse_unread_subject
from ..files.tables import MissingColumn, Reading, open_table
from .selection import ListError

COLUMNS = ("external_id", "organization", "member")
WITHDRAWN = "withdrawn_at"


class Rebinding(NamedTuple):
    """An external id and its new subject: an organization, or a member of it; by id or external:ID."""

    line: int
    external_id: str
    organization: str
    member: str = ""


class RebindFile:
    """The rows of a CSV or JSON Lines file, read as a stream.

    Raises BadFile, also if the name of an unread column says that it holds the rows' subjects; MissingColumn without
    external_id or organization.
    """

    def __init__(self, path: str, how: Reading = Reading()) -> None:  # noqa: B008  it is never changed
        self.table = open_table(path, how, wanted=COLUMNS)
        for column in COLUMNS[:2]:
            if column not in self.table.columns:
                raise MissingColumn(_("There is no column %(name)s.") % {"name": column})
        refuse_unread_subject(self.table.columns, COLUMNS)

    def __iter__(self) -> Iterator[Rebinding | ListError]:
        for record in self.table:
            if problem := record.problem_with(*COLUMNS, WITHDRAWN):
                yield fault(record.row, "", problem)
            elif record.values.get(WITHDRAWN):  # an export of external ids contains withdrawn ones too
                yield fault(
                    record.row,
                    WITHDRAWN,
                    _("The external id was withdrawn at this time. Remove the row, or leave this empty."),
                )
            else:
                yield Rebinding(record.row, *(record.values.get(column, "") for column in COLUMNS))


def fault(line: int, column: str, what: str) -> ListError:
    where = _("row %(row)s, column %(column)s") if column else _("row %(row)s")
    return ListError(line, f"{where % {'row': line, 'column': column}}: {what}")
