"""Creates organizations, thousands by one statement: the rules are asked once for each combination of plan and choice.

The resulting states are inserted for all rows with that choice, so SQL repeats no rule. The events of a row are a
microsecond apart: opted out, started, opted in, attested. The organization is created at the instant of the opt-in, so
that no question about an instant finds it half made: if a question was answered "denied" for an instant, nobody could
attest afterwards that use was allowed then.
"""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

from django.db import connection

from accounts.fields import MICROSECOND, raw_id, to_micros
from accounts.models import Plan

from .. import ledger, rules
from ..ledger import Sql
from ..models import BulkJob, EventKind
from ..rules import Choice, State
from ..surfaces import organization_surface
from .fields import ImportPlan
from .judging import EXISTS

_CHUNK = "r.job_id = %s AND r.number > %s AND r.number <= %s AND r.outcome = ''"


@dataclasses.dataclass(frozen=True)
class _Step:
    """One event for every row with this choice ('': no choice; None: for all rows)."""

    kind: EventKind
    at: dt.datetime
    state: State
    product: str = ""
    surface: str = ""
    before: str = ""
    after: str = ""
    choice: str | None = None
    attested: bool = False  # only for rows with a `since`, which becomes that of the state


@dataclasses.dataclass(frozen=True)
class _Chunk:
    """Rows of a job (parameters of _CHUNK), their first instant, and the last event id before their events."""

    cursor: Any
    job: BulkJob
    origin: ledger.Origin
    rows: tuple[Any, int, int]
    at: dt.datetime
    before: int


def create(job: BulkJob, plan: ImportPlan, origin: ledger.Origin, last: int) -> int:
    """Create the organizations of the rows up to `last` with settings, subscriptions and events; returns how many.

    A row whose external id was given to somebody else meanwhile is marked as EXISTS, and skipped.
    """
    at = ledger.clock()
    created_at = at + 2 * MICROSECOND  # the instant of the opt-in: see above
    rows = (raw_id(job.pk), job.cursor, last)
    with connection.cursor() as cursor:
        made = _insert_organizations(cursor, plan, created_at, rows)
        if made:
            chunk = _Chunk(cursor, job, origin, rows, at, _last_event(cursor))
            _insert(chunk, _Step(EventKind.ORGANIZATION_CREATED, created_at, ledger.NO_LAYER, after=plan.kind))
            for each in plan.plan_rows():
                _start(chunk, each)
    return made


def _insert_organizations(cursor: Any, plan: ImportPlan, at: dt.datetime, chunk: Sequence[Any]) -> int:
    """Insert external ids, then organizations; rows whose id is given already are skipped. Returns how many."""
    stamp = to_micros(at)
    cursor.execute(f"SELECT COUNT(*) FROM consent_importrow AS r WHERE {_CHUNK}", chunk)
    (expected,) = cursor.fetchone()
    # The unique keys of bindings decide who has an id: a row that lost gets no binding here.
    cursor.execute(
        f"""
INSERT INTO accounts_binding (organization_id, value, hash, number, recorded_at, since, contested, spelled,
    folded)
SELECT r.organization, r.external_id, '', 1, %s, {_since_of_ids(plan, at)}, FALSE, '', r.folded
FROM consent_importrow AS r WHERE {_CHUNK} ORDER BY r.number ON CONFLICT DO NOTHING""",
        [stamp, stamp, *chunk],
    )
    made: int = cursor.rowcount
    if made != expected:
        # Rows without a binding are marked, so that the next statement leaves them out.
        cursor.execute(
            f"""
UPDATE consent_importrow SET outcome = '{EXISTS}' WHERE id IN (
    SELECT r.id FROM consent_importrow AS r WHERE {_CHUNK}
    AND NOT EXISTS (SELECT 1 FROM accounts_binding AS b WHERE b.organization_id = r.organization))""",
            chunk,
        )
    cursor.execute(
        f"""
INSERT INTO accounts_organization (id, external_id, name, kind, country, status, had_others, created_at, changed_at)
SELECT r.organization, r.external_id, r.name, %s, r.country, 'active', FALSE, %s, %s FROM consent_importrow AS r
WHERE {_CHUNK} ORDER BY r.number""",
        [plan.kind, stamp, stamp, *chunk],
    )
    if cursor.rowcount != made:
        raise RuntimeError(f"{made} external ids were given to {cursor.rowcount} organizations")
    return made


def _since_of_ids(plan: ImportPlan, at: dt.datetime) -> str:
    """SQL for the start of an id: the row's attested start, if one is attested; else the stamp, a parameter."""
    attested = {
        "" if choice == Choice.DEFAULT else choice.value
        for choice in Choice
        if any(step.attested for each in plan.plan_rows() for step in _steps(each, choice, at))
    }
    if not attested:
        return "%s"
    choices = ", ".join(f"'{choice}'" for choice in sorted(attested))
    return f"CASE WHEN r.since IS NOT NULL AND r.choice IN ({choices}) THEN r.since ELSE %s END"


def _last_event(cursor: Any) -> int:
    cursor.execute("SELECT COALESCE(MAX(id), 0) FROM consent_consentevent")
    (last,) = cursor.fetchone()
    return int(last)


def _start(chunk: _Chunk, plan: Plan) -> None:
    started = chunk.at + MICROSECOND
    # For all rows of the chunk: subscriptions don't depend on the choice. Events and settings do.
    chunk.cursor.execute(
        f"""
INSERT INTO accounts_subscription (organization_id, product, plan_id, started_at)
SELECT r.organization, %s, %s, %s FROM consent_importrow AS r WHERE {_CHUNK} ORDER BY r.number""",
        [plan.product, plan.key, to_micros(started), *chunk.rows],
    )
    for choice in Choice:
        done = [(step, count) for step in _steps(plan, choice, chunk.at) if (count := _insert(chunk, step))]
        if done:
            _insert_settings(chunk, plan.product, done)


def _steps(plan: Plan, choice: Choice, at: dt.datetime) -> Iterator[_Step]:
    """The events of a row with this choice, in order."""
    opted_out, started, created_at, attested = (at + n * MICROSECOND for n in range(4))
    told = "" if choice == Choice.DEFAULT else choice.value

    def step(kind: EventKind, at: dt.datetime, state: State, **more: Any) -> _Step:
        if kind.startswith("choice."):
            more |= {"surface": organization_surface(plan.product).key, "before": Choice.DEFAULT, "after": choice}
        return _Step(kind, at, state, product=plan.product, choice=told, **more)

    # An opt-out comes before the start, so that use is allowed at no instant.
    state = State()
    history: list[tuple[dt.datetime, bool]] = []
    if choice == Choice.OPTED_OUT:
        state = rules.opt_out(state, opted_out)
        yield step(EventKind.CHOICE_OPTED_OUT, opted_out, state)
    state = rules.subscribe(state, plan.key, plan.training_default, started)
    history.append((started, state.allowed))
    yield step(EventKind.SUBSCRIPTION_STARTED, started, state, after=plan.key)
    if choice == Choice.OPTED_IN:
        state = rules.opt_in(state, created_at)
        history.append((created_at, state.allowed))
        yield step(EventKind.CHOICE_OPTED_IN, created_at, state)
    if state.allowed:
        # Raises if no start may be attested. One check, with any earlier instant, is enough: each row has its own.
        rules.attest(state, at - MICROSECOND, rules.denied_spans(created_at, history, attested))
        yield step(EventKind.SINCE_ATTESTED, attested, state, attested=True)


def _insert(chunk: _Chunk, step: _Step) -> int:
    """Write the event of each row that the step is for; returns how many."""
    where = _CHUNK + (" AND r.choice = %s" if step.choice is not None else "")
    where += " AND r.since IS NOT NULL" if step.attested else ""
    since: object = None if step.state.since is None else to_micros(step.state.since)
    return ledger.insert_select(
        Sql(
            f"FROM consent_importrow AS r WHERE {where} ORDER BY r.number",
            [*chunk.rows, *([step.choice] if step.choice is not None else [])],
        ),
        organization="r.organization",
        kind=step.kind,
        origin=chunk.origin if step.attested else dataclasses.replace(chunk.origin, reference=""),
        at=step.at,
        state=dataclasses.asdict(step.state) | {"since": Sql("r.since") if step.attested else since},
        product=step.product,
        surface=step.surface,
        before=step.before,
        after=step.after,
    )


def _insert_settings(chunk: _Chunk, product: str, done: Sequence[tuple[_Step, int]]) -> None:
    """Create a setting for each row, in the state of its last event; its version is the number of its events.

    The range of ids has both ends: for one alone PostgreSQL assumes a third of the ledger, and reads all of it, until
    the table is analyzed.
    """
    # Rows of one call all made the same choice, so at most one step is a choice.
    choice = next((step for step, _count in done if step.kind.startswith("choice.")), None)
    chosen = Sql(f"(SELECT x.id FROM {_SAME_ROW})", [to_micros(choice.at)]) if choice else Sql("NULL")
    last, attested = done[-1]
    finals = [(last, len(done), Sql(""))]
    if last.attested and attested < done[0][1]:  # rows without an attested start end one step earlier
        without = Sql(f"AND NOT EXISTS (SELECT 1 FROM {_SAME_ROW})", [to_micros(last.at)])
        finals.append((done[-2][0], len(done) - 1, without))
    for step, version, besides in finals:
        of_job = [chunk.before, _last_event(chunk.cursor), chunk.rows[0], product]
        events = Sql(
            f"e.id > %s AND e.id <= %s AND e.job_id = %s AND e.product = %s AND e.recorded_at = %s AND e.choice = %s"
            f" {besides.text}",
            [*of_job, to_micros(step.at), step.state.choice, *besides.parameters],
        )
        ledger.insert_settings(events, version=version, choice_event=chosen)


# Another event of the same layer, at an instant.
_SAME_ROW = """consent_consentevent AS x WHERE x.organization_id = e.organization_id AND x.product = e.product
    AND x.member_id IS NULL AND x.recorded_at = %s"""
