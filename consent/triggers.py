"""The triggers that make the ledger, and what else is for good, append-only, and note new events for the sequencer.

Idempotent: `install` creates what `expected` lists, `problems` names every difference. On PostgreSQL the triggers are
ENABLE ALWAYS, so that they also fire in sessions in replica mode, which skip ordinary triggers.
"""

import re
from collections.abc import Container
from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

LEDGER, PENDING, POSITION = "consent_consentevent", "consent_pendingevent", "consent_eventposition"
COOLING_OFF = "consent_coolingoff"
# Its rows are never changed, but deleted when old (`retention`): only UPDATE is refused.
ADVANCE = "consent_positionadvance"
# Its rows are never changed, and deleted only before the first event: a moved installation, or a demo, brings its own.
WORDING = "consent_wording"
SNAPSHOT = "consent_snapshotmade"
RUN, RUN_FILE, RETIREMENT = "consent_trainingrun", "consent_runfile", "consent_runretirement"
REMOVAL, ACKNOWLEDGEMENT = "consent_removalbatch", "consent_removalacknowledgement"
RESTORE = "consent_restore"
SALT, TILE, CHECKPOINT = "consent_eventsalt", "consent_logtile", "consent_logcheckpoint"
REFUSAL = "the ledger is append-only"

# SQLite's INSERT OR REPLACE deletes the conflicting row without firing any DELETE trigger; so a guard before the insert
# looks for such a row by each unique key. (The keys of events are partial: each has the condition of its constraint.)
_SAME_INSTANT = "product = NEW.product AND recorded_at = NEW.recorded_at"
_UNIQUE_KEYS = {
    LEDGER: (
        "id = NEW.id",
        f"organization_id = NEW.organization_id AND {_SAME_INSTANT} AND member_id IS NULL AND NEW.member_id IS NULL",
        f"member_id = NEW.member_id AND {_SAME_INSTANT} AND NEW.member_id IS NOT NULL",
    ),
    POSITION: ("position = NEW.position", "event_id = NEW.event_id"),
    COOLING_OFF: (
        "id = NEW.id",
        "event_id = NEW.event_id",
        "product = NEW.product AND since = NEW.since",
    ),
    SNAPSHOT: ("id = NEW.id", "manifest_sha256 = NEW.manifest_sha256"),
    RUN: ("id = NEW.id", "external_id = NEW.external_id"),
    RUN_FILE: ("id = NEW.id", "run_id = NEW.run_id AND name = NEW.name"),
    RETIREMENT: ("run_id = NEW.run_id",),
    REMOVAL: (
        "id = NEW.id",
        "run_id = NEW.run_id AND number = NEW.number",
        "run_id = NEW.run_id AND from_position = NEW.from_position",
    ),
    ACKNOWLEDGEMENT: ("batch_id = NEW.batch_id",),
    RESTORE: ("epoch = NEW.epoch", "event_id = NEW.event_id"),
    WORDING: ("id = NEW.id", "wording = NEW.wording AND language = NEW.language"),
    SALT: ("position = NEW.position",),
    TILE: ('level = NEW.level AND "index" = NEW."index"',),
    CHECKPOINT: ("size = NEW.size",),
}
# The tables whose rows are never changed or deleted, but for a salt that is erased.
APPEND_ONLY = tuple(table for table in _UNIQUE_KEYS if table != WORDING)
GUARDED = (*APPEND_ONLY, WORDING, ADVANCE)
# Whether there ever was an event. On SQLite by the sequence: no table that a trigger elsewhere names can be rebuilt.
_IN_USE = {
    "postgresql": f"EXISTS (SELECT 1 FROM {LEDGER})",
    "sqlite": f"EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '{LEDGER}' AND seq > 0)",
}
# All that blinds goes, once and for all, and the entry that the log holds is put in its place.
_ERASES = " AND ".join(
    [
        "NEW.position = OLD.position AND NEW.version = OLD.version",
        "length(OLD.entry) = 0 AND length(NEW.entry) = 32",
        *(f"length(NEW.{column}) = 0" for column in ("salt", "words_salt", "actor_salt")),
        *(f"NEW.{column}_digest = ''" for column in ("reason", "reference", "actor")),
    ]
)
# Where such a trigger refuses in some cases only.
_EXCEPT = {(WORDING, "DELETE"): _IN_USE["sqlite"], (SALT, "UPDATE"): f"NOT ({_ERASES})"}


def _sqlite() -> dict[str, str]:
    """Trigger name → its statement."""
    triggers = {}
    for table, keys in _UNIQUE_KEYS.items():
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_no_{verb.lower()}"
            when = f" WHEN {_EXCEPT[table, verb]}" if (table, verb) in _EXCEPT else ""
            triggers[name] = (
                f"CREATE TRIGGER {name} BEFORE {verb} ON {table}{when} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
        name = f"{table}_no_replace"
        found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {key})" for key in keys)
        triggers[name] = (
            f"CREATE TRIGGER {name} BEFORE INSERT ON {table} WHEN {found} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
    name = f"{ADVANCE}_no_update"
    triggers[name] = f"CREATE TRIGGER {name} BEFORE UPDATE ON {ADVANCE} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
    name = f"{LEDGER}_note_pending"
    triggers[name] = (
        f"CREATE TRIGGER {name} AFTER INSERT ON {LEDGER} BEGIN INSERT INTO {PENDING} (event_id) VALUES (NEW.id); END"
    )
    return triggers


_PG_FUNCTIONS = {
    "consent_refuse": f"BEGIN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege'; END",
    "consent_refuse_in_use": (
        f"BEGIN IF {_IN_USE['postgresql']} THEN RAISE EXCEPTION '{REFUSAL}'"
        " USING ERRCODE = 'insufficient_privilege'; END IF; RETURN NULL; END"
    ),
    "consent_refuse_unless_erasing": (
        f"BEGIN IF NOT ({_ERASES}) THEN RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'insufficient_privilege'; END IF;"
        " RETURN NEW; END"
    ),
    "consent_note_pending": f"BEGIN INSERT INTO {PENDING} (event_id) SELECT id FROM fresh; RETURN NULL; END",
}


def _postgresql() -> dict[str, str]:
    """Trigger name → its statement. They fire once for each statement, not row, which keeps large inserts fast."""
    triggers = {}
    for table in APPEND_ONLY:
        name = f"{table}_append_only"
        verbs = "DELETE OR TRUNCATE" if table == SALT else "UPDATE OR DELETE OR TRUNCATE"
        triggers[name] = (
            f"CREATE TRIGGER {name} BEFORE {verbs} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION consent_refuse()"
        )
    name = f"{SALT}_no_update"
    triggers[name] = (
        f"CREATE TRIGGER {name} BEFORE UPDATE ON {SALT} FOR EACH ROW EXECUTE FUNCTION consent_refuse_unless_erasing()"
    )
    for table in (ADVANCE, WORDING):
        name = f"{table}_no_update"
        triggers[name] = (
            f"CREATE TRIGGER {name} BEFORE UPDATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION consent_refuse()"
        )
    name = f"{WORDING}_no_delete"
    triggers[name] = (
        f"CREATE TRIGGER {name} BEFORE DELETE OR TRUNCATE ON {WORDING}"
        " FOR EACH STATEMENT EXECUTE FUNCTION consent_refuse_in_use()"
    )
    name = f"{LEDGER}_note_pending"
    triggers[name] = (
        f"CREATE TRIGGER {name} AFTER INSERT ON {LEDGER} REFERENCING NEW TABLE AS fresh"
        " FOR EACH STATEMENT EXECUTE FUNCTION consent_note_pending()"
    )
    return triggers


def _table_of(name: str) -> str:
    return next(table for table in GUARDED if name.startswith(table))


def _normal(statement: str) -> str:
    """A definition in comparable form: databases return it with other white space, schema and order of events."""
    text = re.sub(r"\b(public|\w+)\.(?=consent_)", "", statement)
    text = re.sub(r"BEFORE (.+?) ON", lambda m: f"BEFORE {' OR '.join(sorted(m[1].split(' OR ')))} ON", text)
    return re.sub(r"\s+", " ", text).strip().lower()


def expected(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Name → comparable definition of everything that should be in this database."""
    if connection.vendor == "postgresql":
        return {name: _normal(body) for name, body in _PG_FUNCTIONS.items()} | {
            name: f"{_normal(sql)} [always]" for name, sql in _postgresql().items()
        }
    return {name: _normal(sql) for name, sql in _sqlite().items()}


def present(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Name → comparable definition of what exists in this database."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            return _present_in_postgresql(cursor)
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'consent_%'")
        return {name: _normal(sql) for name, sql in cursor.fetchall()}


def _present_in_postgresql(cursor: CursorWrapper) -> dict[str, str]:
    cursor.execute(
        "SELECT proname, prosrc FROM pg_proc WHERE proname = ANY(%s) AND pronamespace = current_schema()::regnamespace",
        [list(_PG_FUNCTIONS)],
    )
    found = {name: _normal(source) for name, source in cursor.fetchall()}
    cursor.execute(
        "SELECT tgname, pg_get_triggerdef(t.oid), tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid"
        " WHERE NOT tgisinternal AND c.relname = ANY(%s) AND c.relnamespace = current_schema()::regnamespace",
        [list(GUARDED)],
    )
    for name, definition, enabled in cursor.fetchall():
        found[name] = f"{_normal(definition)} [{'always' if enabled in ('A', b'A') else 'not always'}]"
    return found


def problems(connection: BaseDatabaseWrapper) -> list[str]:
    """A line for each trigger or function that is missing or altered; empty if there is none."""
    there = present(connection)
    return [
        f"trigger {name} is {'altered' if name in there else 'missing'}"
        for name, definition in expected(connection).items()
        if there.get(name) != definition
    ]


def install(connection: BaseDatabaseWrapper) -> None:
    """Create what is missing and replace what is altered, on the tables that there are: a migration may add others."""
    # A problem reads “trigger NAME is missing”.
    wrong = {problem.split()[1] for problem in problems(connection)}
    tables = frozenset(connection.introspection.table_names())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _install_in_postgresql(cursor, wrong, tables)
            return
        for name, statement in _sqlite().items():
            if name in wrong and _table_of(name) in tables:
                cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
                cursor.execute(statement)


def _install_in_postgresql(cursor: CursorWrapper, wrong: Container[str], tables: Container[str]) -> None:
    for name, body in _PG_FUNCTIONS.items():
        if name in wrong:
            cursor.execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    for name, statement in _postgresql().items():
        if name in wrong and _table_of(name) in tables:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name} ON {_table_of(name)}")
            cursor.execute(statement)
            cursor.execute(f"ALTER TABLE {_table_of(name)} ENABLE ALWAYS TRIGGER {name}")


def install_after_migrate(sender: AppConfig, using: str = DEFAULT_DB_ALIAS, **_kwargs: Any) -> None:
    connection = connections[using]
    if LEDGER in connection.introspection.table_names():
        install(connection)
