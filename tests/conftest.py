"""The test harness: a database for each worker, fast password hashing, and flushes despite the ledger's triggers."""

import functools
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis
import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection, connections
from django.test import override_settings
from django.utils import translation
from pytest_django import DjangoDbBlocker
from pytest_django.plugin import blocking_manager_key

from consent import triggers
from consent.services import asked
from consent.witness import guard
from tests.environment import scratch_directory
from tests.support import cast as casting
from tests.support import databases
from tests.support.callers import World, make_world
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.recordings import Recorded, Recording, Value

hypothesis.settings.register_profile(
    "test", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
# 1,000 histories of up to 50 steps.
hypothesis.settings.register_profile(
    "soak", hypothesis.settings.get_profile("test"), max_examples=1_000, stateful_step_count=50
)
hypothesis.settings.load_profile("soak" if os.environ.get("SOAK") else "test")


# They run in environments of their own: `make test-spark` and `make test-lake`.
collect_ignore = ["lake", "spark"]


def pytest_report_header() -> str:
    return f"database: {connection.vendor}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The template is for this run's workers, who are gone by now."""
    if not hasattr(session.config, "workerinput"):
        with session.config.stash[blocking_manager_key].unblock():
            databases.drop_template_postgresql(scratch_directory())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    # What stays is the rules, the services and the two faces that most changes touch: API and console.
    slow = ("admin", "commands", "faces", "imports", "jobs", "migrations", "webhooks")
    thorough = (
        "files",
        "log",
        "notices",
        "pipeline",
        "projections",
        "proofs",
        "restore",
        "runs",
        "snapshots",
        "witness",
    )
    folders = {tests / "browser": "browser", tests / "serving": "slow"}
    folders |= {tests / "consent" / name: "slow" for name in slow}
    folders |= {tests / "consent" / name: "thorough" for name in thorough}
    for item in items:
        for folder in folders.keys() & set(item.path.parents):
            item.add_marker(folders[folder])
    here = [item for item in items if belongs_here(item)]
    if os.environ.get("SAMPLED"):
        here = sample(here, connection.vendor)
    # Deselected, not skipped: `make test` runs on both databases, so each of these tests runs once.
    stay = set(here)
    elsewhere = [item for item in items if item not in stay]
    if elsewhere:
        items[:] = here
        config.hook.pytest_deselected(items=elsewhere)


def belongs_here(item: pytest.Item) -> bool:
    """Whether the test runs on this database: what needs none runs on SQLite alone."""
    if mark := item.get_closest_marker("only_on"):
        return bool(mark.args[0] == connection.vendor)
    needs = {"db", "transactional_db", "django_db_setup", "live_server"} & set(getattr(item, "fixturenames", ()))
    # A slow test may start a process, which has a database of its own.
    return bool(
        connection.vendor == "sqlite"
        or needs
        or item.get_closest_marker("django_db")
        or item.get_closest_marker("slow")
    )


# What must hold to the last case on the database of production: the ledger, and what is killed, restored or moved.
WHOLE = {"core", "jobs", "log", "restore", "snapshots", "witness"}


def sample(items: list[pytest.Item], vendor: str) -> list[pytest.Item]:
    """What need not run on both databases runs on one of them.

    On PostgreSQL the first case of each test and a third of its others, the same each time; of the folders in WHOLE
    every case. The cases of a table differ in their values, and all of them run on SQLite.
    On SQLite all but the migrations, each of which takes half a minute: large ledgers are on PostgreSQL.
    """
    if vendor == "sqlite":
        return [item for item in items if item.path.parent.name != "migrations"]
    seen: set[str] = set()
    chosen = []
    for item in items:
        function = item.nodeid.partition("[")[0]
        if function not in seen or item.path.parent.name in WHOLE or crc32(item.nodeid.encode()) % 3 == 0:
            chosen.append(item)
        seen.add(function)
    return chosen


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
    django_db_blocker: DjangoDbBlocker,
    request: pytest.FixtureRequest,
) -> None:
    """Use a database file, not memory, so that several threads share it as in production."""
    database = connections["default"].settings_dict
    if connection.vendor == "sqlite":
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        file = scratch_directory() / f"test-{worker}.sqlite3"
        database["TEST"]["NAME"] = str(file)
        # Faster: test data need not survive a power failure.
        database["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
        with django_db_blocker.unblock():
            databases.copy_sqlite(file, request.config.cache.mkdir("databases"))
    else:
        with django_db_blocker.unblock():
            database["TEST"]["TEMPLATE"] = databases.template_postgresql(scratch_directory())


@pytest.fixture(scope="session")
def migrated_database(django_db_blocker: DjangoDbBlocker, request: pytest.FixtureRequest) -> Iterator[None]:
    """Servers and benchmarks copy this one for their own databases, instead of running all migrations."""
    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":
            file = scratch_directory() / f"migrated-{os.getpid()}.sqlite3"
            databases.copy_sqlite(file, request.config.cache.mkdir("databases"))
            url = f"sqlite:///{file}"
        else:
            url = f"postgres:///{databases.template_postgresql(scratch_directory())}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("MIGRATED_DATABASE", url)
        yield


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """SQLite's file is there already, and goes with its folder."""
    return connection.vendor == "sqlite"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """End sessions that threads left open: PostgreSQL can't drop a database while anybody is connected to it."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def who_is_there_is_known(settings: Any) -> None:
    """Turn reauthentication and required second factors off; tests of signing in turn them on again."""
    settings.ACCOUNT_REAUTHENTICATION_REQUIRED = settings.REQUIRE_MFA = False
    # The portal's own backend again: Django's test runner replaces it.
    settings.EMAIL_BACKEND = "accounts.outbox.OutboxBackend"


@pytest.fixture(autouse=True)
def nothing_asked() -> Iterator[None]:
    """Forget the questions that a test has asked: they are counted in memory until somebody stores them."""
    yield
    asked.forget()


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """Start each test in English: a request leaves its language active in its thread."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def counts_of_its_own() -> Iterator[None]:
    """Start each test without counted sign-in attempts: neither rollback nor flush empties the cache that has them."""
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        yield
        cache.clear()


@pytest.fixture(scope="session")
def recorded(django_db_setup: None, django_db_blocker: DjangoDbBlocker, quick_passwords: None) -> Recorded[Value]:
    """A function that records what another one writes, once per database, and gives the same recording ever after."""

    @functools.cache
    def record(make: Callable[[], Value]) -> Recording[Value]:
        with django_db_blocker.unblock():
            return Recording(make)

    return record


@pytest.fixture(scope="session")
def recorded_cast(recorded: Recorded[Cast]) -> Recording[Cast]:
    """Made before any test, so that none has stopped the clock or changed a setting."""
    return recorded(casting.make)


@pytest.fixture
def cast(db: None, recorded_cast: Recording[Cast]) -> Cast:
    """The people and organizations that tests are about, as fresh objects.

    They are made once per database, through the services, and their rows written anew for each test that asks: into
    its own transaction, or to the tables if it commits. A test that doesn't ask has an empty database.
    """
    return recorded_cast.load()


def tell_demo() -> Any:
    return run("demo", "--format", "json").json


@pytest.fixture(scope="session")
def recorded_demo(recorded: Recorded[Any]) -> Recording[Any]:
    return recorded(tell_demo)


@pytest.fixture
def demo(db: None, recorded_demo: Recording[Any]) -> Any:
    """The demo, told once per database, and what the command printed: people and password; instead of `cast`."""
    return recorded_demo.load()


@pytest.fixture(scope="session")
def recorded_world(recorded: Recorded[World]) -> Recording[World]:
    return recorded(make_world)


@pytest.fixture
def world(db: None, recorded_world: Recording[World]) -> World:
    """The cast, each of them signed in, and keys; instead of `cast`, of which it has one."""
    return recorded_world.load()


def lift_triggers() -> None:
    """Drop the ledger's triggers, as the owner of its tables can."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in triggers.present(connection):
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            for table in triggers.GUARDED:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")


@pytest.fixture
def plans_after_flush(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Restore the plans and the installation's row after a flush: they come from migrations, and it deletes them.

    On SQLite ids start anew: their sequence is what says there whether the ledger was ever in use.
    """
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [triggers.LEDGER])
        import_module("accounts.migrations.0002_plans").create_plans(apps, None)
        import_module("consent.migrations.0033_installation").make_row(apps, None)


@pytest.fixture(name="_django_db_helper")
def flush_past_the_ledger(plans_after_flush: None, _django_db_helper: None) -> Iterator[None]:
    """Overrides pytest-django's fixture of this name, which flushes the database after a transactional test.

    The triggers refuse that, so they are dropped just before; `post_migrate`, sent after it, installs them again.
    """
    guard.trouble()  # before a test counts its queries
    yield
    if not connection.in_atomic_block:
        lift_triggers()
