"""How long the database may take for a request; what runs outside of one, commands and the worker, has no limit.

`TimeoutMiddleware` says which limits hold, the backends (`config.postgresql`, `config.private_sqlite3`) keep to them.
A streamed answer is made after the middleware has returned: exports have no limit either.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import NamedTuple

from django.conf import settings

# What monitors ask, which give up after a few seconds and have to be told before.
PROBES = frozenset({"/healthz", "/readyz"})


class Limits(NamedTuple):
    """In seconds, 0: none. Of one statement, and of waiting for what somebody else has locked."""

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
    """For what may take long, though within a request: the preview of a job, a file that is written to be sent."""
    with limited(current()._replace(statement=0)):
        yield


def for_decisions() -> Limits:
    seconds: float = settings.DECISION_SECONDS
    return Limits(seconds, min(filter(None, (seconds, settings.LOCK_SECONDS)), default=0))


def for_pages() -> Limits:
    return Limits(settings.PAGE_SECONDS, settings.LOCK_SECONDS)
