"""Leases with fencing tokens: one process at a time works on a row, and a process that lost the row finds out.

A lease is two columns of the row: when it expires, and the fence, a number that grows with each holder. No transaction
is open during the work. If a holder dies, its lease expires. If a holder is only slow, and writes after its lease
expired and another process took the row, the fence refuses the write.
"""

import dataclasses
import datetime as dt
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models import F, Q, QuerySet

from . import clock

# How many rows `take` tries, because other processes may take the first ones at the same moment.
_TRIED = 10
_Model = TypeVar("_Model", bound=models.Model)


class LostLease(Exception):
    """Another process has taken the row over, or the row no longer needs work."""


def free(until: str = "leased_until") -> Q:
    """The condition for rows whose lease is free or expired."""
    return Q(**{until: None}) | Q(**{f"{until}__lte": clock.now()})


@dataclasses.dataclass(frozen=True)
class Lease:
    """The lease on rows of one table: its length and its two columns.

    `length` must be longer than any step between two calls of `keep`. `fence` names an integer column. A table without
    one may name the column of `until`, because its instants differ from holder to holder.
    """

    length: dt.timedelta
    until: str = "leased_until"
    fence: str = "fence"

    def end(self) -> dt.datetime:
        """When a lease that is taken or kept now expires."""
        return clock.now() + self.length

    def take(self, rows: QuerySet[_Model], *ready: Q, **changes: Any) -> _Model | None:
        """Take the lease on the first of `rows`, in their order, that is `ready` and free; None if there is none.

        The row is returned as stored after the update, `changes` to its columns included.
        """
        waiting = rows.filter(*ready, free(self.until))
        for pk in waiting.values_list("pk", flat=True)[:_TRIED]:
            with transaction.atomic():  # so that nobody can take it over before its fence is read
                grown = {} if self.fence == self.until else {self.fence: F(self.fence) + 1}
                # The UPDATE repeats the conditions of `waiting`: of two processes it changes the row for one only.
                if waiting.filter(pk=pk).update(**changes, **grown, **{self.until: self.end()}):
                    return rows.get(pk=pk)
        return None

    def held(self, rows: QuerySet[_Model], held: _Model) -> QuerySet[_Model]:
        """The queryset of that row if its fence is still that of `held`, else an empty one."""
        return rows.filter(pk=held.pk, **{self.fence: getattr(held, self.fence)})

    def keep(self, rows: QuerySet[_Model], held: _Model, **changes: Any) -> None:
        """Renew the lease for another `length`, and apply `changes`. Raises LostLease, and then changes nothing.

        `rows` are those that may still be worked on: if the row is no longer among them, the lease is lost.
        """
        changes = {self.until: self.end()} | changes
        if not self.held(rows, held).update(**changes):
            raise LostLease
        for name, value in changes.items():
            setattr(held, name, value)

    def release(self, rows: QuerySet[_Model], held: _Model, **changes: Any) -> bool:
        """Free the row for others at once, and apply `changes`. Returns False, changing nothing, if it was lost."""
        return bool(self.held(rows, held).update(**({self.until: None} | changes)))


def withdraw(row: Any) -> None:
    """Take the row away from its holder. The caller has locked the row, and saves both columns afterwards."""
    row.leased_until = None
    row.fence += 1
