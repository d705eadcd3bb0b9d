"""Delivery threads of the worker, so that neither jobs nor positions wait for other people's servers.

A slow receiver does not hold up the other ones. Tests and resends have a thread of their own, so that many of them to a
silent server hold up no delivery. So has e-mail: a slow mail server delays only e-mail.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from django.db import OperationalError, close_old_connections, connection

from accounts import outbox, smtp
from accounts.seldom import Seldom, first_line

from .. import ledger
from ..witness import guard
from .endpoints import deliver_next, send_next_test
from .sending import Sender

logger = logging.getLogger(__name__)
_away = Seldom(logger)
THREADS = 4
_IDLE_SECONDS = 0.25
_GRACE = 0.5  # seconds that the threads get to finish, before and after connections to mail servers are cut


class Deliverers:
    """Context manager that runs the threads. On exit they get a moment to finish; `left` names those that still wait.

    What such a thread delivered but did not store is delivered again.
    """

    def __init__(self, should_stop: Callable[[], bool], threads: int = THREADS) -> None:
        self._told = threading.Event()
        self._should_stop = should_stop
        self._threads = [
            *(self._thread(f"deliver-{n}", self._deliver) for n in range(threads)),
            self._thread("test", self._test),
            self._thread("mail", self._mail),
        ]

    def _thread(self, name: str, work: Callable[[Sender], bool]) -> threading.Thread:
        return threading.Thread(target=self._run, args=[work], name=name, daemon=True)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._told.set()
        self._join(_GRACE)
        smtp.cut_off()
        self._join(_GRACE)
        if left := self.left:
            logger.warning("left in the middle: %s", ", ".join(left))

    @property
    def left(self) -> list[str]:
        return [thread.name for thread in self._threads if thread.is_alive()]

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()))

    def _stop(self) -> bool:
        return self._told.is_set() or self._should_stop()

    def _run(self, work: Callable[[Sender], bool]) -> None:
        sender = Sender()
        try:
            while not self._stop():
                close_old_connections()
                if not self._attempt(work, sender):
                    self._told.wait(_IDLE_SECONDS)
        finally:
            sender.close()
            connection.close()

    @staticmethod
    def _attempt(work: Callable[[Sender], bool], sender: Sender) -> bool:
        try:
            return work(sender)
        except OperationalError as error:
            _away.warning("the database does not answer; trying again: %s", first_line(error))
        except Exception:
            logger.exception("a delivery failed")
        return False

    def _deliver(self, sender: Sender) -> bool:
        if guard.quarantined():  # what receivers were told already may come again, otherwise
            return False
        placed = ledger.sequence()
        return deliver_next(sender, self._stop) or placed > 0

    @staticmethod
    def _test(sender: Sender) -> bool:
        return send_next_test(sender) is not None

    def _mail(self, _sender: Sender) -> bool:
        return outbox.send_waiting(should_stop=self._stop)
