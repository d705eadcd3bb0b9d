"""The ledger is append-only against raw SQL, the ORM, REPLACE, cascades, rebuilt tables and replication sessions."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction
from django.db.models import ProtectedError

from accounts.access import Actor
from accounts.models import Organization
from consent import ledger, triggers, verification
from consent.models import ConsentEvent, EventKind, EventPosition, PendingEvent, PrivacySetting
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.ledger_guards import behind_the_guards, everything, rows, settle, sql
from tests.support.recordings import Recorded

LEDGER, POSITION = triggers.LEDGER, triggers.POSITION
SQLITE = connection.vendor == "sqlite"


def make_history() -> Cast:
    made = casting.make()
    choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=made.labs,
        choice="opted_out",
        actor=Actor.from_user(made.owner, confirmed=True),
        source="console",
    )
    opt_out_as_member(made)
    ledger.sequence()
    return made


@pytest.fixture
def history(db: None, recorded: Recorded[Cast]) -> Cast:
    """A cast with a history in which every unique key of the ledger occurs, all placed."""
    return recorded(make_history).load()


@contextlib.contextmanager
def refused(match: str = triggers.REFUSAL) -> Iterator[None]:
    """The database says no, for the guard's reason, and every row is as it was."""
    before = everything()
    with pytest.raises(DatabaseError, match=match), transaction.atomic():
        yield
    assert everything() == before


def event_of_member() -> ConsentEvent:
    return ConsentEvent.objects.filter(member__isnull=False, product="le_chat").get()


def event_of_organization() -> ConsentEvent:
    return ConsentEvent.objects.get(kind=EventKind.CHOICE_OPTED_OUT, member=None)


def copy_of(row: models.Model, verb: str, ending: str = "", **changes: Any) -> tuple[str, list[Any]]:
    """An INSERT, made with `verb`, of this row with these columns changed."""
    columns = {f.column: f.get_db_prep_save(getattr(row, f.attname), connection) for f in row._meta.concrete_fields}
    columns |= changes
    columns = {name: value for name, value in columns.items() if value is not ...}
    names = ", ".join(columns)
    places = ", ".join(["%s"] * len(columns))
    return f"{verb} INTO {row._meta.db_table} ({names}) VALUES ({places}) {ending}", list(columns.values())


# --- UPDATE, DELETE, TRUNCATE ------------------------------------------------------------------------------------


STATEMENTS = [
    f"UPDATE {LEDGER} SET choice = 'opted_in'",
    f"UPDATE {LEDGER} SET reason = 'rewritten' WHERE id = (SELECT MIN(id) FROM {LEDGER})",
    f"UPDATE {LEDGER} SET id = id + 1000000",
    f"DELETE FROM {LEDGER}",
    f"DELETE FROM {LEDGER} WHERE id = (SELECT MAX(id) FROM {LEDGER})",
    f"UPDATE {POSITION} SET position = position + 1000000",
    f"UPDATE {POSITION} SET event_id = event_id + 1000000",
    f"DELETE FROM {POSITION} WHERE position = 1",
]
STATEMENTS += (
    [
        f"UPDATE OR REPLACE {LEDGER} SET id = 1 WHERE id = (SELECT MAX(id) FROM {LEDGER})",
        f"UPDATE OR REPLACE {POSITION} SET position = 1 WHERE position = (SELECT MAX(position) FROM {POSITION})",
    ]
    if SQLITE
    else [
        f"TRUNCATE {LEDGER}",
        f"TRUNCATE {POSITION}",
        f"TRUNCATE {LEDGER}, {POSITION}, {triggers.PENDING}",
        f"TRUNCATE {LEDGER} RESTART IDENTITY CASCADE",
        f"MERGE INTO {LEDGER} AS l USING (SELECT 1) AS x ON l.id > 0 WHEN MATCHED THEN DELETE",
        f"MERGE INTO {LEDGER} AS l USING (SELECT 1) AS x ON l.id > 0 WHEN MATCHED THEN UPDATE SET reason = 'x'",
    ]
)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_raw_sql__changes_or_empties_the_ledger__refused(history: Cast, statement: str) -> None:
    with refused():
        sql(statement)


@pytest.mark.only_on("postgresql", reason="SQLite has no replicas")
def test_replica_session__on_postgresql__does_not_get_past_the_triggers(history: Cast) -> None:
    sql("SET LOCAL session_replication_role = replica")
    for statement in STATEMENTS:
        with refused():
            sql(statement)
    event = event_of_organization()
    sql(*copy_of(event, "INSERT", id=event.pk + 1_000_000, recorded_at=0))
    assert PendingEvent.objects.filter(pk=event.pk + 1_000_000).exists()


# --- INSERTs that would replace ---------------------------------------------------------------------------------

# By each unique key: the same id; the same instant of an organization's layer; the same instant of a member's.
KEYS: dict[str, Callable[[], tuple[models.Model, dict[str, Any]]]] = {
    "id": lambda: (event_of_organization(), {"recorded_at": 1}),
    "instant of an organization": lambda: (event_of_organization(), {"id": ...}),
    "instant of a member": lambda: (event_of_member(), {"id": ...}),
    "instant of a member, in another organization": lambda: (
        event_of_member(),
        {"id": ..., "organization_id": event_of_brage()},
    ),
    "position": lambda: (EventPosition.objects.get(pk=1), {"event_id": 1_000_000}),
    "event of a position": lambda: (EventPosition.objects.get(pk=1), {"position": 1_000_000}),
}


def event_of_brage() -> Any:
    brage = Organization.objects.get(name="Brage Skaldskap")
    return Organization._meta.pk.get_db_prep_value(brage.pk, connection)


VERBS = ("INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE") if SQLITE else ("INSERT",)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("key", KEYS)
def test_insert__of_a_unique_key_that_is_there__refused(history: Cast, key: str, verb: str) -> None:
    row, changes = KEYS[key]()
    with refused(match=triggers.REFUSAL if SQLITE else "duplicate key"):
        sql(*copy_of(row, verb, **changes))


CONFLICTS = {
    "id": "ON CONFLICT (id) DO UPDATE SET reason = 'rewritten'",
    "instant of an organization": "ON CONFLICT (organization_id, product, recorded_at) WHERE member_id IS NULL"
    " DO UPDATE SET reason = 'rewritten'",
    "instant of a member": "ON CONFLICT (member_id, product, recorded_at) WHERE member_id IS NOT NULL"
    " DO UPDATE SET reason = 'rewritten'",
    "position": "ON CONFLICT (position) DO UPDATE SET event_id = 1000000",
    "event of a position": "ON CONFLICT (event_id) DO UPDATE SET position = 1000000",
}


@pytest.mark.parametrize("key", CONFLICTS)
def test_upsert__by_each_unique_key__refused(history: Cast, key: str) -> None:
    row, changes = KEYS[key]()
    with refused():
        sql(*copy_of(row, "INSERT", CONFLICTS[key], **changes))


# --- The ORM -----------------------------------------------------------------------------------------------------


def upsert_by_bulk_create() -> None:
    event = event_of_organization()
    event.reason = "rewritten"
    ConsentEvent.objects.bulk_create([event], update_conflicts=True, update_fields=["reason"], unique_fields=["id"])


ORM: dict[str, Callable[[], object]] = {
    "update": lambda: ConsentEvent.objects.update(reason="rewritten"),
    "delete": lambda: ConsentEvent.objects.all().delete(),
    "bulk_update": lambda: ConsentEvent.objects.bulk_update([event_of_organization()], ["reason"]),
    "update_or_create": lambda: ConsentEvent.objects.update_or_create(pk=1, defaults={"reason": "x"}),
    "get_or_create": lambda: ConsentEvent.objects.get_or_create(pk=1_000_000),
    "save": lambda: event_of_organization().save(),
    "save some fields": lambda: event_of_organization().save(update_fields=["reason"]),
    "forced save": lambda: event_of_organization().save(force_update=True),
    "delete one": lambda: event_of_organization().delete(),
    "upsert": upsert_by_bulk_create,
    "the base manager's update": lambda: ConsentEvent._base_manager.update(reason="rewritten"),
    "the base manager's delete": lambda: ConsentEvent._base_manager.all().delete(),
    "raw delete": lambda: models.QuerySet(ConsentEvent)._raw_delete("default"),
    "plain bulk_update": lambda: models.QuerySet(ConsentEvent).bulk_update([event_of_organization()], ["reason"]),
    "save_base": lambda: event_of_organization().save_base(raw=True),
    "position update": lambda: EventPosition.objects.update(organization=None),
    "position delete": lambda: EventPosition.objects.all().delete(),
    "position save": lambda: EventPosition.objects.get(pk=1).save(),
    "position delete one": lambda: EventPosition.objects.get(pk=1).delete(),
}


@pytest.mark.parametrize("way", ORM)
def test_orm__changes_or_deletes_in_the_ledger__refused(history: Cast, way: str) -> None:
    before = everything()
    with pytest.raises((TypeError, DatabaseError), match="append-only"), transaction.atomic():
        ORM[way]()
    assert everything() == before


def test_save__of_a_new_event_with_an_id_that_is_there__refused(history: Cast) -> None:
    event = event_of_organization()
    forged = ConsentEvent(
        pk=event.pk, organization_id=event.organization_id, kind=event.kind, recorded_at=event.recorded_at
    )
    with refused(match=triggers.REFUSAL if SQLITE else "duplicate key|event_"):
        forged.save()


# --- Cascades ----------------------------------------------------------------------------------------------------


def test_delete__of_an_organization_or_member_with_history__refused_and_the_ledger_is_whole(history: Cast) -> None:
    before = everything()
    for subject in (history.labs, history.labs_member, history.member):
        with pytest.raises(ProtectedError):
            subject.delete()
    assert everything() == before


def test_delete__of_everything_below_an_organization__no_cascade_reaches_the_ledger(history: Cast) -> None:
    events, positions = (list(table.objects.order_by("pk").values()) for table in (ConsentEvent, EventPosition))
    organization = Organization._meta.pk.get_db_prep_value(history.labs.pk, connection)
    for table in ("consent_privacysetting", "consent_lock", "accounts_subscription", "accounts_member"):
        sql(f"DELETE FROM {table} WHERE organization_id = %s", [organization])
    sql("DELETE FROM accounts_organization WHERE id = %s", [organization])
    assert not Organization.objects.filter(pk=history.labs.pk).exists()
    assert list(ConsentEvent.objects.order_by("pk").values()) == events
    assert list(EventPosition.objects.order_by("pk").values()) == positions


def test_ledger_tables__foreign_keys__have_no_database_constraint(history: Cast) -> None:
    for table in (LEDGER, POSITION, triggers.PENDING):
        with connection.cursor() as cursor:
            constraints = connection.introspection.get_constraints(cursor, table)
        assert not [name for name, of in constraints.items() if of["foreign_key"]]


# --- The guards themselves ---------------------------------------------------------------------------------------


def test_problems__guards_as_they_should_be__none(history: Cast) -> None:
    assert triggers.problems(connection) == []
    tables = len(triggers.APPEND_ONLY)
    assert len(triggers.present(connection)) == (3 * tables + 5 if SQLITE else tables + 9)


@pytest.mark.parametrize("name", sorted(n for n in triggers.expected(connection) if n.startswith(LEDGER)))
def test_problems__a_trigger_is_missing__named_and_installed_again(history: Cast, name: str) -> None:
    settle()
    sql(f"DROP TRIGGER {name}" if SQLITE else f"DROP TRIGGER {name} ON {LEDGER}")
    assert triggers.problems(connection) == [f"trigger {name} is missing"]
    assert f"trigger {name} is missing" in verification.verify().problems
    triggers.install(connection)
    assert triggers.problems(connection) == []
    with refused():
        sql(f"DELETE FROM {LEDGER}")


ALTERED = (
    {
        f"{LEDGER}_no_delete": [
            f"DROP TRIGGER {LEDGER}_no_delete",
            f"CREATE TRIGGER {LEDGER}_no_delete BEFORE DELETE ON {LEDGER} BEGIN SELECT RAISE(IGNORE); END",
        ],
        f"{POSITION}_no_update": [
            f"DROP TRIGGER {POSITION}_no_update",
            f"CREATE TRIGGER {POSITION}_no_update BEFORE UPDATE ON {POSITION} BEGIN SELECT 1; END",
        ],
    }
    if SQLITE
    else {
        f"{LEDGER}_append_only": [f"ALTER TABLE {LEDGER} DISABLE TRIGGER {LEDGER}_append_only"],
        f"{LEDGER}_note_pending": [f"ALTER TABLE {LEDGER} ENABLE TRIGGER {LEDGER}_note_pending"],
        f"{POSITION}_append_only": [
            f"DROP TRIGGER {POSITION}_append_only ON {POSITION}",
            f"CREATE TRIGGER {POSITION}_append_only BEFORE UPDATE ON {POSITION} EXECUTE FUNCTION consent_refuse()",
            f"ALTER TABLE {POSITION} ENABLE ALWAYS TRIGGER {POSITION}_append_only",
        ],
        "consent_refuse": [
            "CREATE OR REPLACE FUNCTION consent_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"
        ],
    }
)


@pytest.mark.parametrize("name", ALTERED)
def test_problems__a_guard_is_altered__named_and_installed_again(history: Cast, name: str) -> None:
    settle()
    for statement in ALTERED[name]:
        sql(statement)
    assert triggers.problems(connection) == [f"trigger {name} is altered"]
    triggers.install(connection)
    assert triggers.problems(connection) == []
    for table in (LEDGER, POSITION):
        with refused():
            sql(f"DELETE FROM {table}")


def test_install__twice__changes_nothing(history: Cast) -> None:
    before = triggers.present(connection)
    triggers.install(connection)
    assert triggers.present(connection) == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_on("sqlite", reason="PostgreSQL alters tables in place")
def test_migrate__after_sqlite_rebuilt_the_table__triggers_are_back(cast: Cast) -> None:
    # A migration that alters a field: on SQLite a new table, and the old one dropped with its triggers.
    old = ConsentEvent._meta.get_field("reference")
    longer = old.clone()
    longer.set_attributes_from_name("reference")
    longer.model, longer.max_length = ConsentEvent, 300
    for alteration in ((old, longer), (longer, old)):
        with connection.schema_editor() as editor:
            editor.alter_field(ConsentEvent, *alteration)
    missing = [p for p in triggers.problems(connection) if LEDGER in p]
    assert len(missing) == 4, "the rebuilt table has lost its triggers, as SQLite does it"
    call_command("migrate", verbosity=0)
    assert triggers.problems(connection) == []
    assert verification.verify().problems == []
    with pytest.raises(DatabaseError, match=triggers.REFUSAL):
        sql(f"DELETE FROM {LEDGER}")
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    assert verification.verify().problems == []


def test_behind_the_guards__the_tests_own_door__is_the_only_way(history: Cast) -> None:
    event = event_of_organization()
    with behind_the_guards():
        sql(f"UPDATE {LEDGER} SET reason = 'rewritten' WHERE id = %s", [event.pk])
    assert rows(f"SELECT reason FROM {LEDGER} WHERE id = %s", [event.pk]) == [("rewritten",)]
    with refused():
        sql(f"UPDATE {LEDGER} SET reason = 'again'")


# --- record() ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_record__outside_a_transaction__refused(cast: Cast) -> None:
    before = everything()
    origin = ledger.Origin(actor=cast.provider, source="admin")
    event = ledger.event(
        EventKind.ORGANIZATION_UPDATED, organization=cast.labs, origin=origin, at=ledger.clock(), state=ledger.NO_LAYER
    )
    with pytest.raises(RuntimeError, match="inside the transaction"):
        ledger.record([event])
    assert everything() == before


def test_record__event_of_a_layer_without_a_setting__refused_and_nothing_is_stored(history: Cast) -> None:
    setting = PrivacySetting.objects.get(organization=history.brage, member=None, product="le_chat")
    origin = ledger.Origin(actor=history.provider, source="admin")
    event = ledger.event(
        EventKind.CHOICE_OPTED_OUT,
        organization=history.brage,
        product="ai_studio",
        origin=origin,
        at=ledger.clock(),
        state=setting.state,
    )
    before = everything()
    with pytest.raises(RuntimeError, match="1 events met 0 settings"), transaction.atomic():
        ledger.record([event])
    assert everything() == before


def test_every_model__refers_to_events__without_cascade() -> None:
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, models.ForeignKey) and ConsentEvent in (model, field.related_model):
                assert field.remote_field.on_delete is models.DO_NOTHING, field
                assert not field.db_constraint, field
