"""Long answers are sent at the reader's speed, while the thread that made them is already free."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from config.asgi import Spool, transmit
from config.bodies import budget
from tests.serving.servers import body, served, status

HEAD = {"type": "http.response.start", "status": 200, "headers": []}
BUNDLE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    """Whatever became of an answer, what it took of the budget is given back."""
    before = budget._held
    yield
    assert budget._held == before


def send(pieces: Iterator[bytes], stops_after: int | None = None) -> list[bytes]:
    """What a client is sent that reads so many messages, and then no more."""
    sent: list[bytes] = []

    async def receive(message: MutableMapping[str, Any]) -> None:
        if stops_after is not None and len(sent) >= stops_after:
            await asyncio.Event().wait()
        sent.append(message.get("body", b""))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        spool = Spool(loop)
        making = loop.run_in_executor(None, spool.fill, next(pieces), pieces)
        try:
            await transmit(HEAD, spool, receive)
        finally:
            await asyncio.gather(making, return_exceptions=True)

    with contextlib.suppress(ConnectionAbortedError):
        # In a thread of its own: a browser that an earlier test drove leaves its event loop running in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, main()).result()
        return [*sent, b"<end>"]
    return [*sent, b"<aborted>"]


def test_answer__long__arrives_whole_and_in_order() -> None:
    pieces = [bytes([n % 256]) * (n * 50) for n in range(300)]
    sent = send(iter(pieces))
    assert (b"".join(sent[:-1]), sent[-1]) == (b"".join(pieces), b"<end>")


def test_answer__that_fails_midway__is_cut_off_and_not_taken_for_whole() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a" * 1000
        raise ValueError("the database has gone")

    assert send(pieces())[-1] == b"<aborted>"


def test_answer__larger_than_the_spool__is_cut_off(settings: Any) -> None:
    settings.SPOOL_MB = 1
    assert send(iter([b"a" * 1000] * 1100))[-1] == b"<aborted>"


def test_reader__that_stops__is_cut_off_and_its_answer_no_longer_made(settings: Any) -> None:
    settings.REQUEST_SECONDS = 0.1
    made = 0

    def pieces() -> Iterator[bytes]:
        nonlocal made
        while True:  # ends because nobody reads any more
            made += 1
            yield b"a" * 10_000

    assert send(pieces(), stops_after=3)[-1] == b"<aborted>"
    assert made > 3


def test_server__readers_that_do_not_read__others_are_answered() -> None:
    with served(WEB_THREADS="1") as server, contextlib.ExitStack() as stack:
        asked = server.head("GET", BUNDLE)
        for _ in range(20):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(asked)
        assert server.healthy()
        answer = server.exchange(server.head("GET", BUNDLE, "Connection: close"))
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        assert status(answer) == 200 and len(body(answer)) == int(length.split(b":")[1]) > 1_000_000
