"""Work that one process at a time does: who holds it, for how long, and how those who have lost it find out.

A lease is two columns of the row that the work is about: until when it is held, and a fence, a number that grows with
each holder. No transaction is open while somebody works. Whoever dies leaves a lease that ends by itself; whoever is
only slow, and writes after it has ended and somebody else has taken the row, is refused by the fence.
"""

import dataclasses
import datetime as dt
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import F, Q, QuerySet

from . import clock

# Rows that `take` tries for: others may take the first of them at the same moment.
_TRIED = 10
_Model = TypeVar("_Model", bound=models.Model)


class LostLease(Exception):
    """Somebody else has taken the row over, or it is not to be worked at any more."""


def free(until: str = "leased_until") -> Q:
    """What is true of rows that nobody holds now."""
    return Q(**{until: None}) | Q(**{f"{until}__lte": clock.now()})


@dataclasses.dataclass(frozen=True)
class Lease:
    """How rows of one table are held: for how long, and in which columns.

    `length` is more than any step between two calls of `keep` takes. `fence` names a column of integers; or the
    column of `until` itself, whose instants differ from holder to holder, where a table has no other.
    """

    length: dt.timedelta
    until: str = "leased_until"
    fence: str = "fence"

    def end(self) -> dt.datetime:
        """Until when a lease lasts that is taken, or kept, now."""
        return clock.now() + self.length

    def take(self, rows: QuerySet[_Model], *ready: Q, **changes: Any) -> _Model | None:
        """Hold the first of `rows`, in their order, that is `ready` and free; None where there is none.

        It is returned as it is once held, with the `changes` to its columns.
        """
        waiting = rows.filter(*ready, free(self.until))
        for pk in waiting.values_list("pk", flat=True)[:_TRIED]:
            with transaction.atomic():  # so that nobody can take it over before its fence is read
                grown = {} if self.fence == self.until else {self.fence: F(self.fence) + 1}
                if waiting.filter(pk=pk).update(**changes, **grown, **{self.until: self.end()}):
                    return rows.get(pk=pk)
        return None

    def held(self, rows: QuerySet[_Model], held: _Model) -> QuerySet[_Model]:
        """That row among `rows` as long as it is held as `held` was, else none."""
        return rows.filter(pk=held.pk, **{self.fence: getattr(held, self.fence)})

    def keep(self, rows: QuerySet[_Model], held: _Model, **changes: Any) -> None:
        """Hold it for another `length`, and make the `changes` to its columns; raises LostLease, changing nothing.

        `rows` are those that may still be worked at.
        """
        changes = {self.until: self.end()} | changes
        if not self.held(rows, held).update(**changes):
            raise LostLease
        for name, value in changes.items():
            setattr(held, name, value)

    def release(self, rows: QuerySet[_Model], held: _Model, **changes: Any) -> bool:
        """Let others take it at once; whether it was still held. What is no longer held stays as it is."""
        return bool(self.held(rows, held).update(**({self.until: None} | changes)))


def withdraw(row: Any) -> None:
    """Take a row away from whoever holds it; the caller has locked it, and saves both columns."""
    row.leased_until = None
    row.fence += 1
