"""The ledger: the only writer of events and of settings; also the clock, and the one order that readers follow.

`record` stores events and the states they lead to together, so a setting can't change without its event (R11). Changes
of thousands of rows by one statement come through here too: `insert_select` stores the events, then `PROJECT` or
`insert_settings` brings the settings up to date. All functions that write must be called in the caller's transaction,
with the subject's row locked.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db import connection, transaction

from accounts.access import Actor
from accounts.clock import database_now as _database_now
from accounts.clock import travelled as _travelled
from accounts.fields import MICROSECOND, raw_id, to_micros
from accounts.models import Member, Organization
from config import request_id

from .models import STATE_FIELDS, ConsentEvent, EventKind, EventPosition, PendingEvent, PrivacySetting, Restore
from .rules import Span, State
from .rules import denied_spans as denied_spans_of
from .surfaces import NOTHING_SHOWN, Shown, Surface
from .witness import awaiting, guard, quarantine

# One sequencer at a time, in this database: any number that nobody else uses as an advisory lock.
_SEQUENCER_LOCK = 7_236_841_509_221
_PLACE_PER_TRANSACTION = 50_000


def clock(*after: dt.datetime | None) -> dt.datetime:
    """Now, to the microsecond, and later than each of `after`, even if a clock was set back (R7).

    On PostgreSQL this is the database's clock at the time of the call, so after the caller's locks; on SQLite this
    machine's.
    """
    now = _travelled.get() or _database_now()
    return max([now, *(instant + MICROSECOND for instant in after if instant is not None)])


@contextlib.contextmanager
def history_clock() -> Iterator[Callable[[dt.datetime], None]]:
    """Let `demo`, and nothing else, record events of the past: yields the function that sets the clock to an instant.

    Raises RuntimeError if the ledger has events already.
    """
    if ConsentEvent.objects.exists():
        raise RuntimeError("this installation has a history of its own: its clock stays as it is")

    def travel(instant: dt.datetime) -> None:
        _travelled.set(instant)

    token = _travelled.set(None)
    try:
        yield travel
    finally:
        _travelled.reset(token)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Who acts, from where and why: shared by all events of one change."""

    actor: Actor
    source: str
    by_operator: bool = False
    reason: str = ""
    reference: str = ""
    job_id: uuid.UUID | None = None
    shown: Shown = NOTHING_SHOWN


def event(
    kind: EventKind,
    *,
    organization: Organization | None,
    origin: Origin,
    at: dt.datetime,
    state: State,
    member: Member | None = None,
    product: str | None = "",
    surface: Surface | None = None,
    before: str = "",
    after: str = "",
    target: str = "",
) -> ConsentEvent:
    """Build an event for `record`. `state` is its layer's state after it; only `trail.note` sets `product` to None."""
    return ConsentEvent(
        kind=kind,
        recorded_at=at,
        organization=organization,
        member=member,
        product=product,
        surface=surface.key if surface else "",
        before=before,
        after=after,
        target=target,
        actor_type=origin.actor.type.value,
        actor_id=origin.actor.id,
        by_operator=origin.by_operator,
        source=origin.source,
        reason=origin.reason,
        reference=origin.reference,
        job_id=origin.job_id,
        **_shown(origin, surface.key if surface else ""),
        request_id=request_id.current(),
        **{name: getattr(state, name) for name in STATE_FIELDS},
    )


def _shown(origin: Origin, surface: str) -> dict[str, str]:
    """The columns about the words that were seen; only an event of a choice, which has a surface, has them."""
    return (origin.shown if surface else NOTHING_SHOWN)._asdict()


# The state in events that are about no layer.
NO_LAYER = State(reason_code="")


def record(events: Sequence[ConsentEvent]) -> None:
    """Store events, at most one per layer, and set the settings of their layers to the states in them.

    The settings' rows must exist and be locked. Sets each event's id.
    """
    _require_transaction()
    quarantine.refuse_events(events)
    ConsentEvent.objects.bulk_create(events)
    for members, condition in ((False, OF_ORGANIZATION), (True, OF_MEMBER)):
        ids = [each.pk for each in events if each.product and (each.member_id is not None) is members]
        if ids:
            _project(ids, condition)
    awaiting.after_commit(events)


def _require_transaction() -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("an event is recorded inside the transaction of its change")


def _project(ids: list[int], condition: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"{PROJECT} e.id = ANY(%s) AND {condition}", [ids])
        else:
            # JSON is one parameter, whatever the number of ids: SQLite limits the number of parameters.
            cursor.execute(f"{PROJECT} e.id IN (SELECT value FROM json_each(%s)) AND {condition}", [json.dumps(ids)])
        # An event without a setting would have no effect on decisions.
        if cursor.rowcount != len(ids):
            raise RuntimeError(f"{len(ids)} events met {cursor.rowcount} settings")


_STATE_COLUMNS = ", ".join(f"{name} = e.{name}" for name in STATE_FIELDS)
# Copies the state of events `e` to their settings `s`; the condition on `e` is to be appended. In SET, `s.` is the row
# before the update, on both databases. The ids of the events behind choice, carry and lock are kept as long as these
# last, and become NULL with them.
PROJECT = f"""
UPDATE consent_privacysetting AS s SET {_STATE_COLUMNS},
    version = s.version + 1, changed_at = e.recorded_at, last_event_id = e.id,
    choice_event_id = CASE WHEN e.choice = 'default' THEN NULL
                           WHEN e.kind LIKE 'choice.%%' THEN e.id ELSE s.choice_event_id END,
    carry_event_id = CASE WHEN e.carry = '' THEN NULL WHEN e.carry <> s.carry THEN e.id ELSE s.carry_event_id END,
    lock_event_id = CASE WHEN NOT e.locked THEN NULL WHEN e.kind = 'lock.placed' THEN e.id ELSE s.lock_event_id END
FROM consent_consentevent AS e
WHERE s.product = e.product AND"""
OF_ORGANIZATION = "e.member_id IS NULL AND s.member_id IS NULL AND s.organization_id = e.organization_id"
OF_MEMBER = "s.member_id = e.member_id"


# --- One statement for thousands of rows ------------------------------------------------------------------------------


class Sql(NamedTuple):
    """A piece of a statement, and its parameters."""

    text: str
    parameters: Sequence[Any] = ()


_EVENT_COLUMNS = [str(field.column) for field in ConsentEvent._meta.local_concrete_fields if not field.primary_key]
_SETTING_COLUMNS = ("organization_id", "product", *STATE_FIELDS, "version")


def insert_select(
    rows: Sql,
    *,
    organization: str,
    kind: EventKind | Sql,
    origin: Origin,
    at: dt.datetime,
    state: Mapping[str, object],
    product: str,
    surface: str = "",
    before: str | Sql = "",
    after: str | Sql = "",
    given: Sql = Sql(""),  # noqa: B008  a constant
) -> int:
    """Store an event about an organization's layer for each of `rows`, all of one instant; returns how many.

    `rows` is the part of the SELECT after its columns (`FROM …`), `given` the part before SELECT (`WITH …`).
    `organization` is an SQL expression; `state` gives each field of a State as a value or an expression. The settings
    stay as they are: update them by `PROJECT`, or create them by `insert_settings`.
    """
    _require_transaction()
    values = {name: state[name] for name in STATE_FIELDS} | {
        "recorded_at": to_micros(at),
        "organization_id": Sql(organization),
        "member_id": Sql("NULL"),
        "product": product,
        "surface": surface,
        "kind": kind if isinstance(kind, Sql) else kind.value,
        "before": before,
        "after": after,
        "target": "",
        "actor_type": origin.actor.type.value,
        "actor_id": origin.actor.id,
        "by_operator": origin.by_operator,
        "source": origin.source,
        "reason": origin.reason,
        "reference": origin.reference,
        "job_id": origin.job_id and raw_id(origin.job_id),
        **_shown(origin, surface),
        "request_id": request_id.current(),
    }
    selected, parameters = _selected([values[column] for column in _EVENT_COLUMNS])
    last = _last_id() if guard.quarantined() else None
    inserted = _execute(
        f"INSERT INTO {ConsentEvent._meta.db_table} ({', '.join(_EVENT_COLUMNS)}) {given.text} {selected} {rows.text}",
        [*given.parameters, *parameters, *rows.parameters],
    )
    if last is not None:  # only now is it known what each row became; whoever calls this rolls it back
        quarantine.refuse_events(ConsentEvent.objects.filter(pk__gt=last))
    return inserted


def _last_id() -> int:
    return ConsentEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def ensure_settings(rows: Sql, *, organization: str, product: str) -> None:
    """Create the missing settings of these organizations for a product, in the state before any event.

    `rows` and `organization` as in `insert_select`. Safe if another transaction creates the same rows.
    """
    blank = State()
    values = [Sql(organization), product, *(getattr(blank, name) for name in STATE_FIELDS), 0]
    selected, parameters = _selected(values)
    _execute(
        f"INSERT INTO {PrivacySetting._meta.db_table} ({', '.join(_SETTING_COLUMNS)}) {selected} {rows.text}"
        " ON CONFLICT DO NOTHING",
        [*parameters, *rows.parameters],
    )


def insert_settings(events: Sql, *, version: int, choice_event: Sql) -> None:
    """Create settings from events `e`, each the last of its layer, for organizations that have no settings yet.

    `events` is a condition on `e`; `version` is the number of events of each layer; `choice_event` is an expression
    for the id of the event of its choice, or NULL.
    """
    values = [Sql("e.organization_id"), Sql("e.product"), *(Sql(f"e.{name}") for name in STATE_FIELDS), version]
    selected, parameters = _selected([*values, Sql("e.recorded_at"), Sql("e.id"), choice_event])
    columns = (*_SETTING_COLUMNS, "changed_at", "last_event_id", "choice_event_id")
    _execute(
        f"INSERT INTO {PrivacySetting._meta.db_table} ({', '.join(columns)}) {selected}"
        f" FROM {ConsentEvent._meta.db_table} AS e WHERE e.member_id IS NULL AND {events.text} ORDER BY e.id",
        [*parameters, *events.parameters],
    )


def _selected(values: Iterable[object]) -> tuple[str, list[Any]]:
    """A `SELECT` of these expressions and values, and its parameters."""
    pieces = [value if isinstance(value, Sql) else Sql("%s", [value]) for value in values]
    return f"SELECT {', '.join(piece.text for piece in pieces)}", [
        each for piece in pieces for each in piece.parameters
    ]


def _execute(statement: str, parameters: Sequence[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def denied_spans(
    subjects: Iterable[tuple[uuid.UUID, str]], until: dt.datetime
) -> dict[tuple[uuid.UUID, str], tuple[Span, ...]]:
    """(organization id, product) → spans in which that layer denied, from the organization's creation to `until`."""
    wanted = set(subjects)
    if not wanted:
        return {}
    ids = {organization for organization, _product in wanted}
    created = dict(Organization.objects.filter(pk__in=ids).values_list("pk", "created_at"))
    history: dict[tuple[uuid.UUID, str], list[tuple[dt.datetime, bool]]] = {subject: [] for subject in wanted}
    rows = ConsentEvent.objects.filter(organization__in=ids, member=None, recorded_at__lt=until)
    rows = rows.filter(product__in={product for _organization, product in wanted})
    for organization, product, at, allowed in rows.order_by("recorded_at").values_list(
        "organization_id", "product", "recorded_at", "allowed"
    ):
        if product is not None and (organization, product) in history:
            history[organization, product].append((at, allowed))
    return {subject: denied_spans_of(created[subject[0]], events, until) for subject, events in history.items()}


def sequence() -> int:
    """Give every event that is pending now its position, gapless, in order of id; returns how many were placed.

    The database hands out ids before commit, so events become visible out of order. A position is therefore given only
    to visible events, under a lock that is taken by a separate statement: so the next one sees everything that was
    committed before. Events of one subject become visible in order of id: its row is locked while they are written.
    """
    total = 0
    if guard.quarantined():  # a position that was given before must not be given to another event
        return total
    # Stops at the event that is last now, because others may write as fast as this places.
    last = PendingEvent.objects.order_by("-event_id").values_list("event_id", flat=True).first()
    while last is not None and PendingEvent.objects.filter(event_id__lte=last).exists():
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SEQUENCER_LOCK])
            cursor.execute(_PLACE, [_PLACE_PER_TRANSACTION])
            placed = cursor.rowcount
            # The events placed just now have the highest positions.
            cursor.execute(
                "DELETE FROM consent_pendingevent WHERE event_id IN (SELECT event_id FROM consent_eventposition"
                " ORDER BY position DESC LIMIT %s)",
                [placed],
            )
        total += placed
        if not placed:
            break
    return total


_EVENTS = ConsentEvent._meta.db_table
_IDS = f"{_EVENTS}_id_seq"
# The next positions for the oldest pending events; `ledger.sequence` holds the lock that makes MAX + n safe.
_PLACE = """
INSERT INTO consent_eventposition (position, event_id, organization_id, epoch)
SELECT (SELECT COALESCE(MAX(position), 0) FROM consent_eventposition) + ROW_NUMBER() OVER (ORDER BY e.id),
       e.id, e.organization_id, (SELECT COALESCE(MAX(epoch), 1) FROM consent_restore)
FROM (SELECT event_id FROM consent_pendingevent ORDER BY event_id LIMIT %s) AS p
JOIN consent_consentevent AS e ON e.id = p.event_id"""


def hold_sequence() -> None:
    """Keep others from giving positions until the transaction ends."""
    _require_transaction()
    if connection.vendor == "postgresql":  # on SQLite a transaction keeps all others from writing
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_SEQUENCER_LOCK])


def place(placed: Sequence[tuple[int, ConsentEvent]]) -> int:
    """Store events at these positions, which follow the head; returns how many. Call it after `hold_sequence`."""
    if not placed:
        return 0
    events = [event for _position, event in placed]
    if placed[0][0] != head() + 1 or placed[-1][0] != placed[0][0] + len(placed) - 1:
        raise RuntimeError("positions have no gaps")
    record(events)
    epoch = Restore.objects.epoch()
    EventPosition.objects.bulk_create(
        EventPosition(position=position, event=event, organization_id=event.organization_id, epoch=epoch)
        for position, event in placed
    )
    # By its id each: on PostgreSQL others may get ids in between.
    PendingEvent.objects.filter(event__in=[event.pk for event in events]).delete()
    return len(placed)


def skip_ids(number: int) -> None:
    """Leave out as many ids of events: those of lost ones, which readers may have met, are not given again."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT setval(s, nextval(s) + %s) FROM (SELECT %s::regclass AS s) AS t", [number, _IDS])
        else:
            cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = %s", [number, _EVENTS])
            if not cursor.rowcount:  # a ledger that never had an event
                cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [_EVENTS, number])


def head() -> int:
    """The last position given, 0 in an empty ledger."""
    return EventPosition.objects.order_by("-position").values_list("position", flat=True).first() or 0


def pending() -> int:
    """Events without a position yet."""
    return PendingEvent.objects.count()
