"""A clock that stands at a past instant, for histories of many days."""

import contextlib
import datetime as dt
from collections.abc import Iterator

from accounts.clock import travelled


@contextlib.contextmanager
def clock_at(instant: dt.datetime) -> Iterator[None]:
    """Record what happens in the block at this instant; questions are still asked by the database's own clock."""
    token = travelled.set(instant)
    try:
        yield
    finally:
        travelled.reset(token)
