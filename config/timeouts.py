"""Time limits for the database within a request. Commands and the worker have none.

`TimeoutMiddleware` chooses the limits; the database backends (`config.postgresql`, `config.private_sqlite3`) apply
them. A streamed response is produced after the middleware has returned, so exports have no limit either.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from django.conf import settings

# Health checks have the short limits of decisions, because monitors give up after a few seconds.
PROBES = frozenset({"/healthz", "/readyz"})


class Limits(NamedTuple):
    """Seconds that a statement may run, and that it may wait for a lock; 0: no limit."""

    statement: float = 0
    lock: float = 0


NONE = Limits()
_current: ContextVar[Limits] = ContextVar("limits", default=NONE)


def current() -> Limits:
    return _current.get()


@contextlib.contextmanager
def limited(limits: Limits) -> Iterator[None]:
    token = _current.set(limits)
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def unlimited() -> Iterator[None]:
    """No statement limit in the block, for slow work in a request: a job's preview, or writing a file to send.

    The limit on waiting for locks stays.
    """
    with limited(current()._replace(statement=0)):
        yield


def for_decisions() -> Limits:
    seconds: float = settings.DECISION_SECONDS
    return Limits(seconds, min(filter(None, (seconds, settings.LOCK_SECONDS)), default=0))


def for_pages() -> Limits:
    return Limits(settings.PAGE_SECONDS, settings.LOCK_SECONDS)
