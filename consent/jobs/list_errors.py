"""What is wrong with the rows of a list: all faults are counted, the first are named."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..errors import Invalid
from .selection import ListError

NAMED = 20  # bad rows, and unknown ids, that are named; the others are only counted


class Faults:
    """Counts all faults, and keeps the first in order of lines."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[ListError] = []

    def add(self, fault: ListError, count: int = 1) -> None:
        self.count += count
        self._first = sorted([*self._first, fault])[:NAMED]

    def add_found(self, found: list[tuple[ListError, int]]) -> None:
        """Add faults found by SQL; each carries the total count, so only the first adds it."""
        for n, (fault, count) in enumerate(found):
            self.add(fault, 0 if n else count)

    def texts(self) -> list[str]:
        return [fault.text for fault in self._first]


class BadList(Invalid):
    """`bad` rows are invalid, and `missing` ids belong to no organization; the first of each are named."""

    def __init__(self, faults: Faults, unknown: Faults) -> None:
        self.problems, self.bad = faults.texts(), faults.count
        self.unknown, self.missing = unknown.texts(), unknown.count
        if self.bad:
            text = ngettext("%(n)s bad row", "%(n)s bad rows", self.bad) % {"n": self.bad}
            super().__init__("bad_rows", f"{text}. {self.problems[0]}", "organizations")
        else:
            some = ", ".join(self.unknown[:5])
            super().__init__("unknown_organization", _("There is no organization %s.") % some, "organizations")
