"""The receiver of `benchmarks.webhooks`, and the maker of its events: python -m benchmarks.receiving backlog|lag …"""

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402

from accounts.access import Actor  # noqa: E402
from accounts.models import Organization, User  # noqa: E402
from consent.models import WebhookEndpoint  # noqa: E402
from consent.services import organizations  # noqa: E402

from . import webhooks as bench  # noqa: E402
from .load import OPERATORS  # noqa: E402

PATIENCE = 300  # seconds
arrivals: list[tuple[float, int]] = []  # time of arrival (seconds since 1970), event id


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while head := await reader.readuntil(b"\r\n\r\n"):
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        message = lower.partition(b"webhook-id: evt_")[2].partition(b"\r\n")[0]
        arrivals.append((time.time(), int(message or 0)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


def receive() -> int:
    """Start the receiver in a thread; returns its port."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), [0]

    async def serve() -> None:
        server = await asyncio.start_server(_quiet, "127.0.0.1", 0)
        port[0] = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()

    async def _quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True).start()
    ready.wait()
    return port[0]


def _endpoints(number: int, position: int) -> None:
    port = receive()
    for _ in range(number):
        WebhookEndpoint.objects.create(url=f"http://127.0.0.1:{port}/", position=position, created_at=_now())


def _now() -> Any:
    from consent import ledger

    return ledger.clock()


def backlog(endpoints: str) -> dict[str, Any]:
    """Deliver all existing events to so many webhooks; returns the number of deliveries, and their seconds."""
    from consent import ledger

    expected = ledger.head() * int(endpoints)
    _endpoints(int(endpoints), 0)
    worker = bench.worker(os.environ["DATABASE_URL"])
    try:
        # Measure from the first arrival, so that the worker's start does not count.
        _await(1)
        begun, first = time.time(), len(arrivals)
        _await(expected)
        seconds = time.time() - begun
    finally:
        worker.terminate()
        worker.wait()
    return {"arrived": expected - first, "seconds": seconds}


def lag(seconds: str, changes: str) -> dict[str, Any]:
    """Make `changes` changes a second for `seconds`; measures the time from each commit to the event's arrival."""
    from consent import ledger
    from consent.models import ConsentEvent

    ledger.sequence()
    _endpoints(1, ledger.head())
    worker = bench.worker(os.environ["DATABASE_URL"])
    try:
        time.sleep(3)  # for the worker to start
        actor = Actor.from_user(User.objects.get(email=OPERATORS[0]), confirmed=True)
        there = list(Organization.objects.all()[:50])
        committed: dict[int, float] = {}
        begun = time.time()
        for n in range(int(seconds) * int(changes)):
            organizations.update_organization(
                organization=there[n % len(there)], name=f"Name {n}", actor=actor, source="admin"
            )
            committed[ConsentEvent.objects.order_by("-pk").values_list("pk", flat=True)[0]] = time.time()
            # Wait until the next change is due by the clock, so that slow changes do not lower the rate.
            time.sleep(max(0.0, begun + (n + 1) / int(changes) - time.time()))
        rate = len(committed) / (time.time() - begun)
        _await(len(committed))
    finally:
        worker.terminate()
        worker.wait()
    lags = sorted(at - committed[event] for at, event in arrivals if event in committed)
    return {
        "arrived": len(lags), "rate": rate, "p50": lags[len(lags) // 2], "p99": lags[int(len(lags) * 0.99)],
    }  # fmt: skip


def _await(count: int) -> None:
    limit = time.monotonic() + PATIENCE
    while len(arrivals) < count:
        if time.monotonic() > limit:
            raise SystemExit(f"{len(arrivals)} of {count} events have arrived")
        time.sleep(0.01)


if __name__ == "__main__":
    print(json.dumps({"backlog": backlog, "lag": lag}[sys.argv[1]](*sys.argv[2:])))
    connection.close()
