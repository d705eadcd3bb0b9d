"""A write that fails half-way (failing event, full disk, killed process) never leaves a state without its event."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.access import Actor
from consent import triggers, verification
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.ledger_guards import everything, sql

SQLITE = connection.vendor == "sqlite"
pytestmark = pytest.mark.django_db(transaction=True)


def opt_out(cast: Cast) -> PrivacySetting:
    return choices.choose(
        surface=LE_CHAT_CONSOLE,
        organization=cast.labs,
        choice="opted_out",
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
    )


def of_labs(cast: Cast) -> dict[str, Any]:
    return {"organization": cast.labs, "actor": cast.provider, "source": "admin"}


SERVICES: dict[str, Callable[[Cast], object]] = {
    "choose": opt_out,
    "choose for a member": lambda cast: choices.choose(
        surface=LE_CHAT_MOBILE,
        member=cast.labs_member,
        choice="opted_out",
        **of_labs(cast),
    ),
    "create_organization": lambda cast: organizations.create_organization(
        draft=OrganizationDraft(
            name="F", kind="personal", owner=("f@example.org", "F"), subscriptions=[plans.get_plan("le_chat_free")]
        ),
        actor=cast.provider,
        source="api",
    ),
    "update_organization": lambda cast: organizations.update_organization(**of_labs(cast), name="New"),
    "close_organization": lambda cast: organizations.close_organization(**of_labs(cast), reason="Over"),
    "add_member": lambda cast: members.add_member(**of_labs(cast), email="new@kvasir.example"),
    "update_member": lambda cast: members.update_member(
        member=cast.labs_member, role="admin", actor=cast.provider, source="admin"
    ),
    "remove_member": lambda cast: members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin"),
    "subscribe": lambda cast: plans.subscribe(**of_labs(cast), plan=plans.get_plan("le_chat_teams")),
    "end_subscription": lambda cast: plans.end_subscription(**of_labs(cast), product="le_chat"),
    "place_lock": lambda cast: locks.place_lock(**of_labs(cast), product="le_chat", reason="r", reference="x"),
}


@pytest.fixture
def failing_events(cast: Cast) -> Any:
    """Every insert into the ledger fails, after the row is in."""
    if SQLITE:
        sql(
            f"CREATE TRIGGER test_no_insert AFTER INSERT ON {triggers.LEDGER}"
            " BEGIN SELECT RAISE(FAIL, 'no room for an event'); END"
        )
    else:
        sql(
            "CREATE FUNCTION test_no_insert() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN RAISE EXCEPTION 'no room for an event'; END$$"
        )
        sql(
            f"CREATE TRIGGER test_no_insert AFTER INSERT ON {triggers.LEDGER}"
            " FOR EACH STATEMENT EXECUTE FUNCTION test_no_insert()"
        )
    yield
    if SQLITE:
        sql("DROP TRIGGER test_no_insert")
    else:
        sql("DROP FUNCTION test_no_insert() CASCADE")


@pytest.mark.thorough
@pytest.mark.parametrize("service", SERVICES)
def test_service__event_cannot_be_stored__nothing_is(cast: Cast, failing_events: None, service: str) -> None:
    before = everything()
    with pytest.raises(DatabaseError, match="no room for an event"):
        SERVICES[service](cast)
    assert everything() == before
    assert verification.verify().problems == []


@pytest.mark.thorough
@pytest.mark.parametrize("service", SERVICES)
def test_service__nothing_fails__the_same_call_writes_its_event(cast: Cast, service: str) -> None:
    count = ConsentEvent.objects.count()
    SERVICES[service](cast)
    assert ConsentEvent.objects.count() > count
    assert verification.verify().problems == []


@pytest.mark.parametrize("service", SERVICES)
def test_service__transaction_around_it_fails_afterwards__nothing_is_stored(cast: Cast, service: str) -> None:
    before = everything()

    with transaction.atomic():
        SERVICES[service](cast)
        assert everything() != before
        transaction.set_rollback(True)
    assert everything() == before


@pytest.mark.only_on("sqlite", reason="PostgreSQL has no limit on pages")
def test_opt_out__disk_is_full_on_sqlite__setting_is_as_it_was(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        (pages,) = cursor.fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")
    changed, before = 0, everything()

    def change_until_full() -> None:
        nonlocal changed, before
        while changed < 10_000:
            before = everything()
            choice = "opted_in" if changed % 2 else "opted_out"
            choices.choose(
                surface=LE_CHAT_CONSOLE, choice=choice, reason="x" * 500, **of_labs(cast), version_required=False
            )
            changed += 1

    try:
        # Some events still fit into the pages that are there; then one does not.
        with pytest.raises(DatabaseError, match="full"):
            change_until_full()
        assert everything() == before
    finally:
        sql("PRAGMA max_page_count = 1073741823")
    assert verification.verify().problems == []
    opt_out(cast)
    assert not PrivacySetting.objects.get(organization=cast.labs, member=None, product="le_chat").allowed


# A process of its own, on the same database: it opts out and is killed before its transaction is through.
KILLED = """
import os, sys
import tests.environment
os.environ["DATABASE_URL"] = sys.argv[1]
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
import django
django.setup()
from django.db import transaction
from accounts.access import Actor
from accounts.models import Organization, User
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE
with transaction.atomic():
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=Organization.objects.get(name="Kvasir Labs"), choice="opted_out",
        actor=Actor.from_user(User.objects.get(email="ada@kvasir.example"), confirmed=True), source="console",
    )
    assert ConsentEvent.objects.filter(kind="choice.opted_out").count() == 1
    print("written", flush=True)
    sys.stdin.read()
"""


def database_url() -> str:
    settings = connection.settings_dict
    if SQLITE:
        return f"sqlite:///{settings['NAME']}"
    place = settings["OPTIONS"].get("host") or settings["HOST"]
    port = f"&port={settings['PORT']}" if settings["PORT"] else ""
    account = f"{settings['USER']}:{settings['PASSWORD']}"
    return f"postgresql://{account}@/{settings['NAME']}?host={place}{port}"


def test_process__killed_in_the_middle_of_an_opt_out__setting_and_ledger_are_as_they_were(cast: Cast) -> None:
    before = everything()
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, database_url()],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert everything() == before, "nobody sees what is not committed"
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    # On SQLite its write lock is gone with it; on PostgreSQL the server ends its session.
    assert opt_out(cast).version == 2
    assert everything()[:5] == before[:5]
    assert [e.kind for e in ConsentEvent.objects.filter(product="le_chat", organization=cast.labs).order_by("pk")] == [
        "subscription.started",
        "choice.opted_out",
    ]
    assert verification.verify().problems == []
