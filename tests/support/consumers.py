"""Helpers for tests about consumers: registering one, and letting it speak by its own key."""

from typing import Any

from accounts.access import Actor
from accounts.authentication import recognise
from consent import ledger
from consent.models import Consumer
from consent.projections import honour, runner
from consent.services import consumers
from consent.services.consumers import Registered
from tests.support.cast import Cast


def registered(cast: Cast, name: str = "dataset-builder", **more: Any) -> Registered:
    given = {"purpose": "Builds datasets", "contact": "data@provider.example", "expected_lag_minutes": 60}
    return consumers.register(name=name, actor=cast.provider, source="admin", **(given | more))


def own(made: Registered) -> Actor:
    return recognise(made.text)


def say(made: Registered, position: int | None = None, dataset: str | None = None) -> Consumer:
    """The consumer says a position: the head, unless another is given."""
    ledger.sequence()
    at = ledger.head() if position is None else position
    return consumers.report(consumer=made.consumer, position=at, dataset=dataset, actor=own(made))


def run_clock() -> None:
    """What the worker does: read the ledger, and count what all have applied."""
    ledger.sequence()
    runner.catch_up("honour")
    while honour.count_honoured():
        pass
