"""Two real connections, stepped: one change holds its locks, the other is started and seen to wait, the first commits.

On SQLite the second waits at BEGIN, which nobody can look at from outside: there it has only been started.
"""

import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections, transaction

LIMIT = 60  # seconds after which a step that never comes fails the test


class Started:
    """A call in a thread and on a connection of its own."""

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
        """Whether it waits for this thread's transaction; False when it was done without waiting."""
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
    """`second` starts while `first` is done but not committed; returns whether it waited, raises what it raised."""
    with transaction.atomic():
        first()
        started = Started(second)
        waited = started.wait_until_blocked()
    started.result()
    return waited


def together(*calls: Callable[[], Any]) -> list[Any]:
    """All at the same time, each on its own connection; what they return, in their order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            gate.wait(LIMIT)
            return call()
        finally:
            connections.close_all()

    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(LIMIT) for future in [pool.submit(run, call) for call in calls]]
