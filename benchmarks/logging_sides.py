"""The sides of `benchmarks.log`: python -m benchmarks.logging_sides ours|bare|prove|choose N; prints a line of JSON."""

import json
import math
import random
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django

from .load import OPERATORS
from .snapping import measured

PROOFS = 200


def bare() -> dict[str, Any]:
    """Read the events as the log does, batch by batch, and do nothing with them."""
    from django.db import connection

    from consent.log import store
    from consent.log.appending import BATCH

    statement = f"""
SELECT p.position, {store.EVENT} FROM consent_eventposition AS p JOIN consent_consentevent AS e ON e.id = p.event_id
WHERE p.position > %s ORDER BY p.position LIMIT %s"""

    def read() -> int:
        after = 0
        with connection.cursor() as cursor:
            while True:
                cursor.execute(statement, [after, BATCH])
                if not (rows := cursor.fetchall()):
                    return after
                after = rows[-1][0]

    return measured(read)


def ours() -> dict[str, Any]:
    """Append every event, as the worker does; `held`: the longest transaction that wrote, in milliseconds."""
    from consent.log.appending import Appender

    def append() -> int:
        appender, events = Appender(), 0
        while done := appender.append():
            events += done
        return events

    with _transactions() as held:
        found = measured(append)
    return found | {"held": max(held) * 1000}


@contextmanager
def _transactions() -> Iterator[list[float]]:
    """How long each transaction that was begun in the block had the write lock, in seconds (SQLite: all of it)."""
    from django.db import connection

    held: list[float] = []
    begin, commit, begun = connection.set_autocommit, connection.commit, [0.0]

    def beginning(autocommit: bool, **options: Any) -> None:
        begin(autocommit, **options)
        begun[0] = time.perf_counter()

    def committing() -> None:
        commit()
        held.append(time.perf_counter() - begun[0])

    connection.set_autocommit, connection.commit = beginning, committing  # type: ignore[method-assign]
    try:
        yield held
    finally:
        connection.set_autocommit, connection.commit = begin, commit  # type: ignore[method-assign]


def prove() -> dict[str, Any]:
    """Prove events at random that they are in the log, as a server makes receipts: `proof` is the median in ms."""
    from consent.log import store
    from consent.proofs import tree

    chance = random.Random(1)  # noqa: S311  chance, no secret
    size, root = store.size(), store.root(store.size())
    seconds = []
    for _n in range(PROOFS):
        index = chance.randrange(size)
        begun = time.perf_counter()
        proof = tree.inclusion(store.Tree(remembers=True).read, index, size)
        seconds.append(time.perf_counter() - begun)
        (logged,) = store.read(index, 1)
        tree.verify_inclusion(tree.leaf_hash(logged.entry), index, size, proof, root)
    return {"proof": statistics.median(seconds) * 1000}


def choose(number: str) -> dict[str, Any]:
    """Opt so many organizations out, one after the other; `median` and `p99` are in milliseconds."""
    from accounts.access import Actor
    from accounts.models import Organization, User
    from consent.services import choices
    from consent.surfaces import LE_CHAT_CONSOLE

    actor = Actor.from_user(User.objects.get(email=OPERATORS[0]), confirmed=True)
    seconds = []
    for organization in Organization.objects.order_by("pk")[: int(number) + 1]:
        begun = time.perf_counter()
        choices.choose(
            surface=LE_CHAT_CONSOLE, organization=organization, choice="opted_out", actor=actor, source="admin",
            reason="benchmark",
        )  # fmt: skip
        seconds.append(time.perf_counter() - begun)
    seconds = sorted(seconds[1:])  # without the first one, which includes work that is done once
    return {"median": statistics.median(seconds) * 1000, "p99": seconds[math.ceil(len(seconds) * 0.99) - 1] * 1000}


STEPS = {step.__name__: step for step in (ours, bare, prove, choose)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))  # type: ignore[operator]
