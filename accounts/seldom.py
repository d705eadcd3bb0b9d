"""What is said once a minute at most, however often it happens: a line for each question would hide all the others."""

import logging
import threading
import time

MINUTE = 60.0


class Seldom:
    """Warnings of one kind, counted in this process; a line says how many were kept back since the one before."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger, self._lock = logger, threading.Lock()
        self._next, self._kept_back = 0.0, 0

    def warning(self, message: str, *args: object) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                self._kept_back += 1
                return
            self._next, kept_back, self._kept_back = now + MINUTE, self._kept_back, 0
        more = f" ({kept_back:,} more like it since)" if kept_back else ""
        self._logger.warning("%s%s", message % args, more)


def first_line(error: BaseException) -> str:
    """Without the details that drivers add, in lines of their own."""
    return str(error).strip().partition("\n")[0]
