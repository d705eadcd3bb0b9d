"""Django's PostgreSQL backend, with the time limits of `config.timeouts`.

The limits are set on the server, which then cancels what takes too long: waiting for a lock, a statement, an idle
transaction. If the server does not respond at all (stopped, unreachable, behind a paused pooler), the client gives up a
little later, and further requests fail at once for a moment instead of waiting too (a circuit breaker).
"""

import functools
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Self

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from psycopg.abc import PQGen, PQGenConn

from ..timeouts import NONE, Limits, current, for_decisions, limited
from .reader import Reader

# Seconds after the server's own limit at which the client gives up.
_GRACE = 0.25
# Seconds after which a server that did not respond is tried again, by one thread first.
_PAUSE = 1.0
_RESET = "RESET statement_timeout; RESET lock_timeout; RESET idle_in_transaction_session_timeout"


class _Silence:
    """The circuit breaker, shared by all threads: else each request would wait for a server that does not respond."""

    def __init__(self) -> None:
        self.ends = 0.0  # monotonic time at which the server may be tried again; 0: it responds
        self._lock = threading.Lock()

    def begin(self) -> None:
        self.ends = time.monotonic() + _PAUSE

    def end(self) -> None:
        self.ends = 0.0

    def refuse_or_ask(self) -> None:
        """Raises OperationalError while the breaker is open. After that the first thread tries; others are refused."""
        if not self.ends:
            return
        with self._lock:
            now = time.monotonic()
            if now < self.ends:
                raise psycopg.OperationalError("the database gave no answer just now; it is asked again in a moment")
            self.ends = now + current().statement + _GRACE + _PAUSE


_silence = _Silence()


class Connection(psycopg.Connection[Any]):
    @functools.cached_property
    def reader(self) -> Reader:
        return Reader(self)

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        # psycopg waits here for every response of the server, so this is the place for the client's own limit.
        seconds = current().statement
        if not seconds or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            found = super().wait(gen, interval, seconds + _GRACE)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  documented as the exception of `wait`
            self.pgconn.finish()  # a late response would be taken for the response to the next query
            _silence.begin()
            raise psycopg.OperationalError(f"the database gave no answer in {seconds + _GRACE:g} s") from None
        if _silence.ends:
            _silence.end()
        return found

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
        # Commands and the worker have no limit: they wait, whatever the breaker says.
        if not current().statement:
            return super().connect(*args, **kwargs)
        _silence.refuse_or_ask()
        try:
            return super().connect(*args, **kwargs)
        except psycopg.errors.ConnectionTimeout:
            _silence.begin()
            raise

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Connect to one host, within the statement limit too: connecting may not take longer than a statement."""
        seconds = current().statement
        attempt = super()._connect_gen(conninfo)
        if not seconds:
            return (yield from attempt)
        # Drive psycopg's generator by hand, to check the deadline between its steps.
        ends = time.monotonic() + seconds + _GRACE
        step = next(attempt)
        while True:
            ready = yield step
            if time.monotonic() > ends:
                attempt.close()
                raise psycopg.errors.ConnectionTimeout(f"the database took no connection in {seconds + _GRACE:g} s")
            try:
                step = attempt.send(ready)
            except StopIteration as made:
                return made.value  # type: ignore[no-any-return]


class DatabaseWrapper(base.DatabaseWrapper):
    # The psycopg module, with `connect` replaced.
    Database = SimpleNamespace(**{**vars(psycopg), "connect": Connection.connect})  # type: ignore[assignment]
    # The limits set on the server for this connection, and whether the current transaction lifted the statement limit.
    _told: Limits = NONE
    _lifted = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        self._told = NONE
        return super().get_new_connection(conn_params)  # type: ignore[no-any-return]

    def apply_limits(self) -> None:
        """Set the current limits on the server, if they have changed.

        Within a transaction the statement limit can only be lifted, because a rollback would undo other settings.
        Nothing is set through a pooler, because the next client of the same server session would get it.
        """
        limits = current()
        if limits == self._told or self.connection is None or settings.DATABASE_POOLER:
            return
        if not self.in_atomic_block:
            self._tell(_RESET if limits == NONE else _set(limits))
            self._told = limits
        elif self._told.statement and not limits.statement and not self._lifted:
            self._tell("SET LOCAL statement_timeout = 0")
            self._lifted = True

    def _tell(self, sql: str) -> None:
        with self.wrap_database_errors:
            self.connection.execute(sql, prepare=False)

    def fetch_prepared(self, sql: str, parameters: Sequence[str | int | None]) -> list[tuple[Any, ...]]:
        """The rows of a SELECT, outside of a transaction; `sql` is one of few constant texts."""
        self.apply_limits()
        with self.wrap_database_errors:
            return self.connection.reader.fetch(sql, parameters, prepared=settings.PREPARED_STATEMENTS)  # type: ignore[no-any-return]

    def is_read_only(self) -> bool:
        """Whether the server takes no writes: a standby, or one set to read-only."""
        with self.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            return bool(cursor.fetchone()[0] == "on")

    def create_cursor(self, name: str | None = None) -> Any:
        self.apply_limits()
        return super().create_cursor(name)

    # Django calls this at the start and end of each outermost `atomic` block.
    def _set_autocommit(self, autocommit: bool) -> None:
        self._lifted = False
        if not autocommit and self.connection.autocommit:
            self.apply_limits()
        super()._set_autocommit(autocommit)  # type: ignore[misc]  # missing in django-stubs

    def is_usable(self) -> bool:
        """Django's health check, with the limits of decisions even for a page: a slower connection is replaced."""
        if not current().statement:
            return bool(super().is_usable())
        with limited(for_decisions()):
            return bool(super().is_usable())


def _set(limits: Limits) -> str:
    named = {
        "statement_timeout": limits.statement,
        "lock_timeout": limits.lock,
        "idle_in_transaction_session_timeout": settings.IDLE_TRANSACTION_SECONDS,
    }
    return "; ".join(f"SET {name} = {round(seconds * 1000)}" for name, seconds in named.items())
