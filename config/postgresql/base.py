"""Django's PostgreSQL, which keeps to the limits of `config.timeouts`.

The server is told them, and ends by itself what takes too long: waiting for a lock, a statement, a transaction in which
nothing happens. A server that does not even do that (stopped, gone, behind a paused pooler) is given up a little later
on this side, and is not waited for again by one request after the other.
"""

import threading
import time
from types import SimpleNamespace
from typing import Any, Self

import psycopg
from django.conf import settings
from django.db.backends.postgresql import base
from psycopg.abc import PQGen, PQGenConn

from ..timeouts import NONE, Limits, current, for_decisions, limited

# So much later than the server should have given up by itself, in seconds.
_GRACE = 0.25
# A server that gave no answer is asked again after so many seconds, by one thread first.
_PAUSE = 1.0
_RESET = "RESET statement_timeout; RESET lock_timeout; RESET idle_in_transaction_session_timeout"


class _Silence:
    """Whether the server gave no answer, for all threads of the process: else each request would find out anew."""

    def __init__(self) -> None:
        self.ends = 0.0  # when the server may be asked again, by the monotonic clock; 0: it answers
        self._lock = threading.Lock()

    def begin(self) -> None:
        self.ends = time.monotonic() + _PAUSE

    def end(self) -> None:
        self.ends = 0.0

    def refuse_or_ask(self) -> None:
        """Raises OperationalError during a silence; whoever comes first after it asks, and the others go on waiting."""
        if not self.ends:
            return
        with self._lock:
            now = time.monotonic()
            if now < self.ends:
                raise psycopg.OperationalError("the database gave no answer just now; it is asked again in a moment")
            self.ends = now + current().statement + _GRACE + _PAUSE


_silence = _Silence()


class Connection(psycopg.Connection[Any]):
    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        seconds = current().statement
        if not seconds or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            found = super().wait(gen, interval, seconds + _GRACE)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001  documented as what `wait` raises
            self.pgconn.finish()  # what it would answer later would be taken for the answer to something else
            _silence.begin()
            raise psycopg.OperationalError(f"the database gave no answer in {seconds + _GRACE:g} s") from None
        if _silence.ends:
            _silence.end()
        return found

    @classmethod
    def connect(cls, *args: Any, **kwargs: Any) -> Self:
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
        """One host's attempt, within the limit too: nobody waits longer for a connection than for an answer."""
        seconds = current().statement
        attempt = super()._connect_gen(conninfo)
        if not seconds:
            return (yield from attempt)
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
    # psycopg, with connections of this kind.
    Database = SimpleNamespace(**{**vars(psycopg), "connect": Connection.connect})  # type: ignore[assignment]
    # What the server was told on this connection; and whether statements of this transaction are exempt from it.
    _told: Limits = NONE
    _lifted = False

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        self._told = NONE
        return super().get_new_connection(conn_params)  # type: ignore[no-any-return]

    def apply_limits(self) -> None:
        """Tell the server what holds now, where that has changed.

        Within a transaction, whose end might undo it, limits are only lifted. Nothing is told through a pooler: it
        would hold for whoever gets the same session next.
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

    def is_read_only(self) -> bool:
        """A standby, or one that was told to take no writes."""
        with self.cursor() as cursor:
            cursor.execute("SHOW transaction_read_only")
            return bool(cursor.fetchone()[0] == "on")

    def create_cursor(self, name: str | None = None) -> Any:
        self.apply_limits()
        return super().create_cursor(name)

    def _set_autocommit(self, autocommit: bool) -> None:
        self._lifted = False
        if not autocommit and self.connection.autocommit:
            self.apply_limits()
        super()._set_autocommit(autocommit)  # type: ignore[misc]  # Django's, which its types leave out

    def is_usable(self) -> bool:
        """A connection on which this takes as long as a decision may take is none that a page should wait on."""
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
