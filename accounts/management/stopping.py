"""Shutdown of long-running commands on SIGTERM and SIGINT, even while the main thread blocks."""

import os
import signal
import socket
import threading
import types
from typing import Any, Self

GRACE = 1.0  # seconds for the current step to finish by itself
_AGAIN = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(BaseException):
    """Raised in the main thread, in the middle of whatever it does, when it has not ended within GRACE."""


class Stopping:
    """Context manager for the main thread: in its block, SIGTERM and SIGINT ask the block to end, in three steps.

    First `asked` returns True. After GRACE seconds, Stopped is raised in the main thread. If the main thread is blocked
    inside a library and ignores that too, `may_exit` ends the process with code 0; the database then rolls back what
    was not committed. A separate thread receives the signals through Python's wake-up descriptor, because Python's own
    handlers run in the main thread, and only when it returns to the interpreter.
    """

    def __init__(self, *, may_exit: bool = False) -> None:
        self._asked, self._over = threading.Event(), threading.Event()
        self._may_exit, self._insisting = may_exit, False

    def asked(self) -> bool:
        return self._asked.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, or until asked to stop."""
        self._asked.wait(seconds)

    def __enter__(self) -> Self:
        self._hears, self._tells = socket.socketpair()
        self._tells.setblocking(False)
        self._handlers = {each: signal.signal(each, self._handle) for each in _SIGNALS}
        self._descriptor = signal.set_wakeup_fd(self._tells.fileno(), warn_on_full_buffer=False)
        self._listener = threading.Thread(target=self._listen, name="stopping", daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _trace: Any) -> bool:
        self._over.set()
        signal.set_wakeup_fd(self._descriptor)
        self._hears.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        self._hears.close()
        self._tells.close()
        return kind is Stopped

    # Raises once for each attempt. A signal that another thread received is handled here only when the main thread
    # returns to the interpreter, together with that of the attempt: the second must not raise while the first unwinds.
    def _handle(self, _number: int, frame: types.FrameType | None) -> None:
        self._asked.set()
        if self._insisting and not self._over.is_set() and not _leaving(frame):
            self._insisting = False
            raise Stopped

    # Runs in the listener thread; an empty read means that the block has ended.
    def _listen(self) -> None:
        if not self._hears.recv(1):
            return
        self._asked.set()
        if self._over.wait(GRACE):
            return
        for _attempt in range(2):
            self._insisting = True
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            if self._over.wait(_AGAIN):
                return
        if self._may_exit:
            os._exit(0)


def _leaving(frame: types.FrameType | None) -> bool:
    """Whether the block of a Stopping has just ended: what is raised then, nobody would catch."""
    while frame is not None:
        if frame.f_code is Stopping.__exit__.__code__:
            return True
        frame = frame.f_back
    return False
