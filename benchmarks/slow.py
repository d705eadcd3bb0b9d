"""Decisions during a slow-client attack: python -m benchmarks.slow [--rows 10000] [--bodies 64] [--heads 64]

One worker runs on one core, as `make serve` starts it; the load generator runs on another. Each round measures
decisions first alone, then while many connections send a request body or headers byte by byte; those that the server
closes are opened again. The results are the median of the rounds' ratios, and the slowest response of /healthz
meanwhile. For comparison: the same application under granian's WSGI interface with one thread, which reads bodies on
that thread.
"""

import contextlib
import json
import os
import socket
import statistics
import threading
import time
from collections.abc import Iterator

from . import databases, serving
from .asking import Answered, ask, request
from .databases import Place
from .tables import Line, run, show

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEAD = b"POST /api/v1/decisions/ HTTP/1.1\r\nHost: localhost\r\n"
BODY = HEAD + b"Content-Type: application/json\r\nContent-Length: 10000\r\n\r\n{"
GIVEN_UP = 3.0  # timeout of a request to /healthz, in seconds


class Slow:
    """Slow clients: connections that each send a byte every half second, from one separate thread."""

    def __init__(self, port: int, bodies: int, heads: int) -> None:
        self.port, self._stop = port, threading.Event()
        self._starts = [BODY] * bodies + [HEAD + b"X-Slow: "] * heads
        self._sockets = [self._open(start) for start in self._starts]
        self._thread = threading.Thread(target=self._drip, daemon=True)

    def _open(self, start: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(start)
        return connection

    def _drip(self) -> None:
        while not self._stop.wait(0.5):
            for n, each in enumerate(self._sockets):
                try:
                    each.sendall(b" ")
                    each.recv(1, socket.MSG_DONTWAIT)  # the server responded or closed the connection: open a new one
                except BlockingIOError:
                    continue  # nothing to read: the server still waits for the rest
                except OSError:
                    pass
                each.close()
                self._sockets[n] = self._open(self._starts[n])

    def __enter__(self) -> None:
        self._thread.start()
        time.sleep(0.5)

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        for each in self._sockets:
            each.close()


@contextlib.contextmanager
def _watched(port: int, taken: list[float]) -> Iterator[None]:
    """Request /healthz every 50 ms during the block, on new connections; appends each duration to `taken`.

    Durations are in seconds; infinity stands for no response.
    """
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            taken.append(health(port))
            stop.wait(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join()


def health(port: int) -> float:
    begun = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=GIVEN_UP) as connection:
            connection.sendall(HEALTH)
            answered = connection.recv(100).startswith(b"HTTP/1.1 200")
    except OSError:
        answered = False
    return time.perf_counter() - begun if answered else float("inf")


def _questions(url: str, rows: int) -> list[bytes]:
    databases.step(url, "sides", "loaded", str(rows), "2")
    made = databases.step(url, "asked", "2000")
    return [request("/api/v1/decisions/", made["key"], json.dumps(each).encode()) for each in made["questions"]]


def measure(where: Place, rows: int, bodies: int, heads: int, seconds: int, pairs: int) -> list[Line]:
    """The lines of the table."""
    # The load generator takes the last core; the server is pinned to core 0 (serving.server).
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with databases.existing(where, "slow") as url, contextlib.ExitStack() as stack:
        asked = _questions(url, rows)
        ours = stack.enter_context(serving.server(url, serving.PORTAL, "config.settings"))
        plain = stack.enter_context(serving.server(url, serving.PORTAL, "config.settings", "granian-wsgi"))
        waits: list[float] = []
        rounds = []
        for n in range(pairs):
            found = {"alone": ask(ours.port, asked, seconds), "one thread": ask(plain.port, asked, seconds)}
            with Slow(ours.port, bodies, heads), _watched(ours.port, waits):
                found["slow"] = ask(ours.port, asked, seconds)
            rounds.append(found)
            show(f"round {n + 1}: " + ", ".join(f"{name} {each.rate:,.0f}/s" for name, each in found.items()))
        with Slow(plain.port, bodies, heads):
            stopped = health(plain.port)
    return _lines(where, rounds, waits, stopped, f"{bodies} slow bodies and {heads} slow heads")


def _lines(
    where: Place, rounds: list[dict[str, Answered]], waits: list[float], stopped: float, what: str
) -> list[Line]:
    kept = statistics.median(each["slow"].rate / each["alone"].rate for each in rounds)
    beside = statistics.median(each["alone"].rate / each["one thread"].rate for each in rounds)
    rates = {name: statistics.median(each[name].rate for each in rounds) for name in rounds[0]}
    slowest = max(waits)
    silent = "no answer" if stopped == float("inf") else f"{stopped * 1000:.0f} ms"
    return [
        Line(where.label, f"decisions with {what} / without", f"{kept:.2f} ×", "≥ 0.8 ×", kept >= 0.8),
        Line(where.label, "slowest /healthz meanwhile", f"{slowest * 1000:.0f} ms", "≤ 100 ms", slowest <= 0.1),
        Line(where.label, "decisions alone / granian WSGI, one thread", f"{beside:.2f} ×", "≥ 0.9 ×", beside >= 0.9),
        *(Line(where.label, f"decisions: {name}", f"{rate:,.0f}/s") for name, rate in rates.items()),
        Line(where.label, f"/healthz of granian WSGI, one thread, with {what}", silent),
    ]


if __name__ == "__main__":
    run(__doc__, measure, rows=10_000, bodies=64, heads=64, seconds=5, pairs=3)
