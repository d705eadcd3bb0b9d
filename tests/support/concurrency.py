"""Runs two changes on two real connections step by step: one holds its locks while the other starts and waits.

On SQLite the second one waits at BEGIN, which can't be observed from outside: there it is only known to have started.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction

LIMIT = 60  # seconds after which a step that never comes fails the test


class Started:
    """A call that runs in its own thread, on its own database connection."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._begun = threading.Event()
        self._pid = 0
        self._pool = concurrent.futures.ThreadPoolExecutor(1)
        self._future = self._pool.submit(self._run)
        assert self._begun.wait(LIMIT)

    def _run(self) -> Any:
        try:
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute("SELECT pg_backend_pid()")
                    (self._pid,) = cursor.fetchone()
            self._begun.set()
            return self._call()
        finally:
            self._begun.set()
            connections.close_all()

    def wait_until_blocked(self) -> bool:
        """Wait until the call is blocked by this thread's transaction; returns False if it ended without waiting."""
        if connection.vendor != "postgresql":
            return True
        end = time.monotonic() + LIMIT
        while time.monotonic() < end and not self._future.done():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid() = ANY(pg_blocking_pids(%s))", [self._pid])
                if cursor.fetchone() == (True,):
                    return True
        assert self._future.done(), "neither waiting nor done"
        return False

    def result(self) -> Any:
        """What the call returned; raises what it raised."""
        try:
            return self._future.result(LIMIT)
        finally:
            self._pool.shutdown()


def race(first: Callable[[], Any], second: Callable[[], Any]) -> bool:
    """Start `second` after `first` has run but before it commits. Returns whether it waited; raises what it raised."""
    with transaction.atomic():
        first()
        started = Started(second)
        waited = started.wait_until_blocked()
    started.result()
    return waited


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run all calls at the same time, each on its own connection; returns their results in order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            gate.wait(LIMIT)
            return call()
        finally:
            connections.close_all()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(LIMIT) for future in [pool.submit(run, call) for call in calls]]
