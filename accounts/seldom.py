"""Rate-limited warnings: at most one line a minute, because a line for each request would hide all other lines."""

import logging
import threading
import time

MINUTE = 60.0


class Seldom:
    """Logs warnings of one kind, per process; each line says how many were suppressed since the line before."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger, self._lock = logger, threading.Lock()
        self._next, self._kept_back = 0.0, 0

    # Logs outside of the lock, so that slow log output does not block other threads.
    def warning(self, message: str, *args: object) -> None:
        self._log(logging.WARNING, message, *args)

    def error(self, message: str, *args: object) -> None:
        self._log(logging.ERROR, message, *args)

    def _log(self, level: int, message: str, *args: object) -> None:
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                self._kept_back += 1
                return
            self._next, kept_back, self._kept_back = now + MINUTE, self._kept_back, 0
        more = f" ({kept_back:,} more like it since)" if kept_back else ""
        self._logger.log(level, "%s%s", message % args, more)


def first_line(error: BaseException) -> str:
    """The error's first line, without the details that database drivers add on further lines."""
    return str(error).strip().partition("\n")[0]
