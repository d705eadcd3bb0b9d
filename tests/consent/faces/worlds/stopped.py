"""Frozen time and repeatable randomness, so that two runs can differ only in what the test changes."""

import contextlib
import datetime as dt
import hashlib
import itertools
import os
import random
import types
import uuid
from collections.abc import Iterator

import pytest
import time_machine
import uuid_utils.compat
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection, transaction

from consent.delivery import endpoints
from tests.support.ledger_guards import rows, sql

START = dt.datetime(2026, 11, 2, 9, tzinfo=dt.UTC)


class Stopped:
    """A clock that moves only by `advance`; ids and random bytes come from counters that `repeat` resets."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller
        self.repeat("the beginning")

    def repeat(self, seed: str) -> None:
        """Restart ids and random bytes as after any other call with this seed, and clear caches."""
        self._seed, self._bytes, self._ids = seed, itertools.count(), itertools.count(1)
        random.seed(seed)
        cache.clear()
        ContentType.objects.clear_cache()

    def urandom(self, size: int) -> bytes:
        return hashlib.shake_256(f"{self._seed}:{next(self._bytes)}".encode()).digest(size)

    def new_id(self) -> uuid.UUID:
        """An id that sorts after earlier ones of this seed, as the product's UUIDv7 do."""
        space = int.from_bytes(hashlib.sha256(self._seed.encode()).digest()[:4], "big")
        return uuid.UUID(int=(0x0190 << 112) | (space << 80) | (7 << 76) | (2 << 62) | next(self._ids))

    def advance(self, seconds: float) -> None:
        self._traveller.shift(dt.timedelta(seconds=seconds))
        self.tell_database()

    def tell_database(self) -> None:
        if connection.vendor == "postgresql":
            sql("SELECT set_config('tests.now', %s, false)", [dt.datetime.now(dt.UTC).isoformat()])


def _stop_database_clock() -> None:
    """Replace PostgreSQL's clock: a function of the same name in an earlier schema of the search path."""
    sql("CREATE SCHEMA stopped")
    sql(
        "CREATE FUNCTION stopped.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE AS"
        " $$ SELECT current_setting('tests.now')::timestamptz $$"
    )
    sql("SET LOCAL search_path = stopped, pg_catalog, public")


def _restart_sequences() -> None:
    """Reset PostgreSQL's sequences, which a rollback does not; SQLite's are in a table, which it does."""
    for schema, name in rows("SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname = 'public'"):
        sql(f"SELECT setval('{schema}.\"{name}\"', 1000000, false)")


@contextlib.contextmanager
def stopped() -> Iterator[Stopped]:
    """Run the block with frozen time, in a transaction that is rolled back afterwards."""
    chance = random.getstate()
    with (
        time_machine.travel(START, tick=False) as traveller,
        pytest.MonkeyPatch.context() as patched,
        transaction.atomic(),
    ):
        clock = Stopped(traveller)
        patched.setattr(os, "urandom", clock.urandom)
        patched.setattr(random, "_urandom", clock.urandom)  # what `secrets` draws from
        patched.setattr(uuid_utils.compat, "uuid7", clock.new_id)
        # A delivery that takes a second stores what it has sent: on a busy machine in one of the worlds only.
        patched.setattr(endpoints, "time", types.SimpleNamespace(monotonic=lambda: 0.0))
        if connection.vendor == "postgresql":
            _stop_database_clock()
            _restart_sequences()
        clock.tell_database()
        try:
            yield clock
        finally:
            transaction.set_rollback(True)
            random.setstate(chance)
