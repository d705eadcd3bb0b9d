"""Which events a snapshot at a position contains, and up to which instant its state is known."""

import dataclasses
import datetime as dt

from django.db import connection, transaction

from accounts import clock
from accounts.fields import from_micros, to_micros

from .. import ledger
from ..pipeline.errors import PipelineError


@dataclasses.dataclass(frozen=True)
class Cut:
    """The events up to a position. `decided_at`: all events of this instant and before it are among them.

    Each event with an id below `floor` is contained, none above `ceiling`; only between them its position has to be
    looked up, because ids become visible out of order.
    """

    position: int
    floor: int
    ceiling: int
    decided_at: dt.datetime

    def contains(self, event: str) -> str:
        """SQL: whether the event with this alias is contained."""
        if self.floor > self.ceiling:
            return f"{event}.id <= {self.ceiling}"
        return f"""({event}.id < {self.floor} OR {event}.id <= {self.ceiling} AND EXISTS (
        SELECT 1 FROM consent_eventposition AS p WHERE p.event_id = {event}.id AND p.position <= {self.position}))"""


def cut(position: int | None, known_until: dt.datetime) -> Cut:
    """The cut at a position, or at the head if it is None: to be called in the transaction that reads the events.

    `known_until` is what `quiet_instant` returned before that transaction began. Raises PipelineError for a position
    that the ledger does not have.
    """
    head = ledger.head()
    if position is None:
        position = head
    if not 0 <= position <= head:
        raise PipelineError(f"There is no position {position}: the ledger has positions from 0 to {head}.")
    with connection.cursor() as cursor:
        cursor.execute(_CEILING, [position])
        (ceiling,) = cursor.fetchone()
        cursor.execute(_BEYOND, [position])
        floor, earliest = cursor.fetchone()
    before = known_until if earliest is None else min(known_until, from_micros(earliest - 1))
    return Cut(position, ceiling + 1 if floor is None else floor, ceiling, before)


_CEILING = "SELECT COALESCE(MAX(event_id), 0) FROM consent_eventposition WHERE position <= %s"
# The least id, and the earliest instant, of the events that are not contained.
_BEYOND = """
SELECT MIN(e.id), MIN(e.recorded_at) FROM (
    SELECT event_id FROM consent_eventposition WHERE position > %s UNION ALL SELECT event_id FROM consent_pendingevent
) AS b JOIN consent_consentevent AS e ON e.id = b.event_id"""


def quiet_instant() -> dt.datetime:
    """An instant such that every event that is not visible now will be later than it.

    An event gets its instant before it is committed. On SQLite nobody else writes while this reads the clock. On
    PostgreSQL it is before all transactions that are open now: so a long one, a backup for instance, holds it back.
    Raises PipelineError if it can't be known there.
    """
    if connection.vendor == "postgresql":
        return _quiet_instant_postgresql()
    with transaction.atomic():
        return from_micros(to_micros(clock.now()) - 1)


def _quiet_instant_postgresql() -> dt.datetime:
    with connection.cursor() as cursor:
        cursor.execute(_OLDEST)
        micros, hidden = cursor.fetchone()
    if hidden:
        raise PipelineError(
            f"The transactions of the database role {hidden}, which may write events, are hidden from this one: use one"
            " role for all processes of the portal, or GRANT pg_read_all_stats to this one."
        )
    return from_micros(micros - 1)


# statement_timestamp() is of before the list of transactions is read: who begins meanwhile has a later clock.
# PostgreSQL shows nothing of another role's session but that it is there: neither when it nor its transaction began.
_OLDEST = """
SELECT floor(extract(epoch FROM LEAST(statement_timestamp(), MIN(xact_start))) * 1000000)::bigint,
       MIN(usename) FILTER (
           WHERE backend_start IS NULL AND has_table_privilege(usesysid, 'consent_consentevent', 'INSERT'))
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"""
