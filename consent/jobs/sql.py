"""The statements of the engine: they join rows `r`, their settings `s`, and the table `t` of the rules' outcomes."""

import datetime as dt
from collections.abc import Iterable
from typing import Any

from accounts.fields import to_micros

from .. import ledger
from ..ledger import Sql
from ..models import STATE_FIELDS, BulkJob, EventKind, JobKind
from .cases import CHANGE, COLUMNS, SAME, GroupOutcome, StateGroup, literal, values

# Parameters of OF_CHUNK, below called "chunk": job, from (exclusive), to (inclusive); of SETTING: product. "wanted" is
# the job's value for rows that have none of their own.
ROWS = "consent_bulkjobrow AS r"
OF_CHUNK = "r.job_id = %s AND r.number > %s AND r.number <= %s"
SETTING = "s.organization_id = r.organization_id AND s.product = %s AND s.member_id IS NULL"

# Whether somebody chose, confirmed or moved to another plan after the event that an undo takes back. Moving away and
# back counts: on the way an opt-in may be dropped, or an opt-out carried over.
_CHANGED_SINCE = """COALESCE(s.last_event_id, 0) <> r.event_id AND EXISTS (
    SELECT 1 FROM consent_consentevent AS e JOIN consent_consentevent AS x ON x.organization_id = e.organization_id
    WHERE e.id = r.event_id AND x.id > e.id AND x.product = e.product AND x.member_id IS NULL
      AND (x.kind LIKE 'choice.%%' OR x.plan <> e.plan OR x.applied_default <> e.applied_default))"""
# The fields of a StateGroup as SQL. A missing setting counts as a new one.
_SHAPE = {
    "subscribed": "COALESCE(s.subscribed, FALSE)",
    "applied_default": "COALESCE(s.applied_default, '')",
    "choice": "COALESCE(s.choice, 'default')",
    "carried": "COALESCE(s.carry, '') <> ''",
    "locked": "COALESCE(s.locked, FALSE)",
    "closed": "COALESCE(s.closed, FALSE)",
    "wanted": "CASE r.wanted WHEN '' THEN %s ELSE r.wanted END",
    "row_carried": "r.carry <> ''",
    "changed": "(r.version IS NULL OR r.version <> COALESCE(s.version, 0))",
}
_CARRY = "CASE t.to_carry WHEN 'carry' THEN s.carry WHEN 'plan' THEN s.plan WHEN 'row' THEN r.carry ELSE '' END"
_EVENT_KIND = {
    JobKind.CHOICE: f"CASE t.to_choice WHEN 'opted_in' THEN '{EventKind.CHOICE_OPTED_IN}'"
    f" ELSE '{EventKind.CHOICE_OPTED_OUT}' END",
    JobKind.PLAN_DEFAULT: f"'{EventKind.PLAN_DEFAULT_CHANGED}'",
    JobKind.UNDO: f"'{EventKind.CHOICE_RESTORED}'",
}

# Rows whose organization has no setting yet. Parameters: chunk, product.
WITHOUT_SETTING = f"""
FROM {ROWS} WHERE {OF_CHUNK} AND NOT EXISTS (
    SELECT 1 FROM consent_privacysetting AS s
    WHERE s.organization_id = r.organization_id AND s.product = %s AND s.member_id IS NULL)
ORDER BY r.number"""

# Store the version of each row's setting. Parameters: product, job, from (exclusive), to (inclusive).
NOTE_VERSIONS = """
UPDATE consent_bulkjobrow SET version = COALESCE((
    SELECT s.version FROM consent_privacysetting AS s
    WHERE s.organization_id = consent_bulkjobrow.organization_id AND s.product = %s AND s.member_id IS NULL), 0)
WHERE job_id = %s AND number > %s AND number <= %s"""

# Lock the settings of a chunk in order of id; COUNT, so that no rows are sent. Parameters: product, chunk.
LOCK = f"""
SELECT COUNT(*) FROM (
    SELECT 1 FROM {ROWS} JOIN consent_privacysetting AS s ON {SETTING} WHERE {OF_CHUNK}
    ORDER BY s.id FOR NO KEY UPDATE OF s) AS x"""


def _columns(job: BulkJob) -> dict[str, str]:
    """The fields of a StateGroup as SQL; `stale` is true if the row is no longer one that the job may change."""
    if job.kind == JobKind.UNDO:
        stale = _CHANGED_SINCE
    elif job.kind == JobKind.PLAN_DEFAULT:  # moved to another plan since the rows were frozen
        stale = f"COALESCE(s.plan, '') <> {literal(job.plan)}"
    else:
        stale = "FALSE"
    columns = _SHAPE | {"stale": stale}
    if job.kind == JobKind.PLAN_DEFAULT:  # its rows are whoever is subscribed when it starts; no row loosens
        columns["changed"] = "FALSE"
    return columns


def count_shapes(job: BulkJob) -> str:
    """For each group of states the number of rows, and the latest instants that a new event has to come after.

    Parameters: wanted, product, chunk.
    """
    columns = _columns(job)
    return f"""
SELECT {", ".join(columns[name] for name in StateGroup._fields)},
       COUNT(*), MAX(COALESCE(s.changed_at, 0)), MAX(o.created_at)
FROM {ROWS} LEFT JOIN consent_privacysetting AS s ON {SETTING}
JOIN accounts_organization AS o ON o.id = r.organization_id
WHERE {OF_CHUNK} GROUP BY {", ".join(str(n + 1) for n in range(len(StateGroup._fields)))}"""


def _same_shape(job: BulkJob) -> str:
    columns = _columns(job)
    return " AND ".join(f"t.{name} = ({columns[name]})" for name in StateGroup._fields)


def _answers(answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    return f"WITH t ({', '.join(COLUMNS)}) AS ({values(answers)})"


def before_and_after(kind: JobKind) -> tuple[str, str]:
    """The columns of the value that a job changes: in the setting, and in the outcome."""
    return ("s.applied_default", "t.to_default") if kind == JobKind.PLAN_DEFAULT else ("s.choice", "t.to_choice")


def event_values(job: BulkJob, at: dt.datetime) -> dict[str, Any]:
    """The contents of each changed row's event, as keyword arguments of `ledger.insert_select`."""
    kind = JobKind(job.kind)
    before, after = before_and_after(kind)
    state = {name: f"s.{name}" for name in STATE_FIELDS}  # the rest of the state stays
    state |= {"applied_default": "t.to_default", "choice": "t.to_choice", "carry": _CARRY}
    state |= {"allowed": "t.to_allowed", "reason_code": "t.to_reason"}
    since = Sql("CASE WHEN t.flips OR s.since IS NULL THEN %s ELSE s.since END", [to_micros(at)])
    return {
        "organization": "s.organization_id",
        "kind": Sql(_EVENT_KIND[kind]),
        "before": Sql(before),
        "after": Sql(after),
        "state": {name: Sql(text) for name, text in state.items()} | {"since": since},
    }


def changed_rows(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> tuple[str, str]:
    """The rules' outcomes (`WITH …`), and the rows that they change (`FROM …`; parameters: product, wanted, chunk)."""
    return (
        _answers(answers),
        f"""
FROM {ROWS} JOIN consent_privacysetting AS s ON {SETTING} JOIN t ON {_same_shape(job)}
WHERE t.outcome = '{CHANGE}' AND {OF_CHUNK}""",
    )


# Parameters: the last id before the chunk's events, the last id of them, job, product, stamp. Both ends are needed: for
# one alone PostgreSQL assumes a third of the ledger, and reads all of it, until the table is analyzed.
UPDATE_SETTINGS = f"""{ledger.PROJECT}
    e.id > %s AND e.id <= %s AND e.job_id = %s AND e.product = %s AND e.recorded_at = %s AND {ledger.OF_ORGANIZATION}"""


def by_event(statement: str) -> str:
    """The statement for SQLite, whose planner expects many events above an id, and would begin with all settings.

    NOT INDEXED leaves it only the search by id.
    """
    return statement.replace("consent_consentevent AS e", "consent_consentevent AS e NOT INDEXED")


def note_refusals(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    """Store the outcome of the rows that are refused. Parameters: product, wanted, chunk."""
    return f"""
{_answers(answers)}
UPDATE consent_bulkjobrow SET refusal = x.outcome FROM (
    SELECT r.id, t.outcome FROM {ROWS} JOIN consent_privacysetting AS s ON {SETTING} JOIN t ON {_same_shape(job)}
    WHERE t.outcome NOT IN ('{CHANGE}', '{SAME}') AND {OF_CHUNK}) AS x
WHERE x.id = consent_bulkjobrow.id"""


# Current and new values of a row: plan, choice or default, whether use is allowed; and the outcome.
_NOW_AND_THEN = (
    "COALESCE(s.plan, ''), COALESCE({before}, 'default'), {after}, COALESCE(s.allowed, FALSE), t.to_allowed, t.outcome"
)


def _listed(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]], columns: str) -> str:
    before, after = before_and_after(JobKind(job.kind))
    return f"""
{_answers(answers)}
SELECT {columns.format(now_and_then=_NOW_AND_THEN.format(before=before, after=after))}
FROM {ROWS} LEFT JOIN consent_privacysetting AS s ON {SETTING} JOIN t ON {_same_shape(job)} WHERE {OF_CHUNK}"""


def select_sample(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    """Some rows, those that change first. Parameters: product, wanted, chunk, size."""
    listed = _listed(job, answers, "r.number, r.organization_id, r.wanted, {now_and_then}")
    return f"{listed} ORDER BY CASE WHEN t.outcome = '{CHANGE}' THEN 0 ELSE 1 END, r.number LIMIT %s"


def select_listed(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    """All rows of the chunk, in order. Parameters: product, wanted, chunk."""
    return f"{_listed(job, answers, 'r.number, r.organization_id, r.wanted, {now_and_then}')} ORDER BY r.number"


def count_listed(job: BulkJob, answers: Iterable[tuple[StateGroup, GroupOutcome]]) -> str:
    """The rows, counted by current and new values and outcome. Parameters: product, wanted, chunk."""
    return f"{_listed(job, answers, '{now_and_then}, COUNT(*)')} GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 7 DESC, 1, 2, 3, 6"
