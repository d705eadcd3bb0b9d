"""Counts the questions that are asked about each organization, off the path of the answers.

`note` counts in this process's memory by the event that the organization's layer rests on: a number, which stands for
the organization, its answer and the reason. A thread stores the counts every ASKED_FLUSH_SECONDS, or earlier if there
are many; and they are stored when the process ends (SIGTERM included). A process that is killed by force loses its last
seconds. Nothing that goes wrong here reaches an answer.
"""

import datetime as dt
import json
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Sequence
from multiprocessing.util import Finalize
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import Error, connection, transaction

from accounts.access import Actor
from accounts.fields import raw_id
from accounts.seldom import Seldom, first_line
from config.batched import batched

from ..models import PEOPLE
from ..rules import Reason

if TYPE_CHECKING:
    from ..lookups import Row

logger = logging.getLogger(__name__)
_unstored = Seldom(logger)
MOST = 50_000  # different counts of one asker after which they are stored at once
_LARGEST = 500_000  # and after which, if they can't be stored, the process keeps no more
_AT_A_TIME = 5_000  # counts in one statement

Scope = frozenset[uuid.UUID] | None
# Called for each question: functions of C.
_event, _without_event = attrgetter("event"), attrgetter("organization_id", "closed")


# Whose questions: the asker's id and the day as numbers, whose hashes cost less than those of a UUID and a date; and
# the organizations that they may ask about (None: all).
_Group = tuple[int, int, Scope]


class _Counts:
    """`events`: event of an organization's layer → questions. `without`: the same of layers without an event yet."""

    def __init__(self) -> None:
        self.events: Counter[int | None] = Counter()
        self.without: Counter[tuple[uuid.UUID | None, bool]] = Counter()

    def add(self, rows: "Sequence[Row]") -> None:
        if len(rows) == 1 and (event := rows[0].event) is not None:
            self.events[event] += 1
            return
        self.events.update(map(_event, rows))
        if self.events.pop(None, 0):
            self.without.update(map(_without_event, (row for row in rows if row.event is None)))

    def __len__(self) -> int:
        return len(self.events) + len(self.without)


class _Collector:
    """The counts of this process; its thread starts with the first of them, in whichever process that is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[_Group, _Counts] = {}
        self._many = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, group: _Group, rows: "Sequence[Row]") -> None:
        with self._lock:
            counts = self._counts.get(group)
            if counts is None:
                counts = self._counts[group] = _Counts()
            counts.add(rows)
            if len(counts) > MOST:
                self._many.set()
            if self._thread is None and settings.ASKED_FLUSH_SECONDS:
                self._start()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="asked", daemon=True)
        self._thread.start()
        # Not `atexit`: processes made by multiprocessing, as those of granian, run these alone.
        Finalize(None, self._end, exitpriority=10)

    def _run(self) -> None:
        while True:
            self._many.wait(settings.ASKED_FLUSH_SECONDS)
            self._many.clear()
            self._end()

    def _end(self) -> None:
        self.flush()
        connection.close()

    def flush(self) -> None:
        """Store all counts. Those that can't be stored stay for the next time."""
        with self._lock:
            waiting, self._counts = self._counts, {}
        try:
            for group in list(waiting):
                with transaction.atomic():
                    _store(group, waiting[group])
                del waiting[group]
        except Error as error:
            _unstored.warning("questions asked could not be counted; trying again: %s", first_line(error))
            self._keep(waiting)

    def _keep(self, waiting: dict[_Group, _Counts]) -> None:
        with self._lock:
            if sum(map(len, (*waiting.values(), *self._counts.values()))) > _LARGEST:
                return
            for group, counts in waiting.items():
                there = self._counts.setdefault(group, _Counts())
                there.events.update(counts.events)
                there.without.update(counts.without)

    def forget(self) -> None:
        with self._lock:
            self._counts = {}


_collector = _Collector()
flush, forget = _collector.flush, _collector.forget


def note(rows: "Sequence[Row]", scope: Scope, actor: Actor, at: dt.datetime) -> None:
    """Count questions that were answered from these rows; `scope`: the organizations that the actor may ask about."""
    if settings.COUNT_QUESTIONS and rows:
        asker = actor.key.pk if actor.key is not None else PEOPLE
        _collector.add((asker.int, at.toordinal(), scope), rows)


# --- Storing ----------------------------------------------------------------------------------------------------------

_INSERT = "INSERT INTO consent_askedcount (organization_id, day, asker, allowed, reason_code, questions)"
_ADD = (
    "ON CONFLICT (organization_id, day, asker, allowed, reason_code)"
    " DO UPDATE SET questions = consent_askedcount.questions + excluded.questions"
)
_GIVEN = {
    "postgresql": "unnest(%s::bigint[], %s::bigint[]) AS c (event, questions)",
    "sqlite": (
        "(SELECT json_extract(value, '$[0]') AS event, json_extract(value, '$[1]') AS questions"
        " FROM json_each(%s)) AS c"
    ),
}
# What the asker may not ask about was answered as unknown: it counts for nobody. In one order, so that two processes
# that add to the same rows can't deadlock.
_FROM_EVENTS = """
{insert} SELECT e.organization_id, {day}, {asker}, e.allowed, e.reason_code, CAST(SUM(c.questions) AS bigint)
FROM {given} JOIN consent_consentevent AS e ON e.id = c.event WHERE e.member_id IS NULL {within}
GROUP BY e.organization_id, e.allowed, e.reason_code ORDER BY e.organization_id, e.allowed, e.reason_code {add}"""


def _store(group: _Group, counts: _Counts) -> None:
    """Add the counts to those that are stored, by statements that look the events up."""
    for some in batched(sorted(counts.events.items()), _AT_A_TIME):
        _store_events(group, some)
    asker, day, allowed = group
    rows = [
        (organization, (Reason.ORGANIZATION_CLOSED if closed else Reason.NO_SUBSCRIPTION).value, number)
        for (organization, closed), number in counts.without.items()
        if organization is not None and (allowed is None or organization in allowed)
    ]
    if rows:
        whose = dt.date.fromordinal(day), raw_id(uuid.UUID(int=asker))
        values = [(raw_id(each), *whose, False, reason, number) for each, reason, number in sorted(rows)]
        with connection.cursor() as cursor:
            cursor.executemany(f"{_INSERT} VALUES (%s, %s, %s, %s, %s, %s) {_ADD}", values)


def _store_events(group: _Group, counts: Sequence[tuple[Any, int]]) -> None:
    vendor = connection.vendor
    asker, day, scope = group
    within = sorted(scope) if scope is not None else []
    listed = ", ".join(["%s"] * len(within))
    statement = _FROM_EVENTS.format(
        insert=_INSERT,
        day="%s" if vendor == "sqlite" else "%s::date",
        asker="%s" if vendor == "sqlite" else "%s::uuid",
        given=_GIVEN[vendor],
        within=f"AND e.organization_id IN ({listed})" if scope is not None else "",
        add=_ADD,
    )
    given = [json.dumps(counts)] if vendor == "sqlite" else [list(column) for column in zip(*counts, strict=True)]
    with connection.cursor() as cursor:
        whose = [dt.date.fromordinal(day), raw_id(uuid.UUID(int=asker))]
        cursor.execute(statement, [*whose, *given, *map(raw_id, within)])
