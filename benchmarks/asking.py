"""HTTP load generator: a few connections that each send one request after the other, for some seconds."""

import selectors
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

CONNECTIONS = 4


class Answered(NamedTuple):
    rate: float  # responses a second
    p50: float  # latency in seconds, as p99
    p99: float


class _Connection:
    """A keep-alive connection; opens a new one when the server closes it."""

    def __init__(self, port: int, selector: selectors.DefaultSelector) -> None:
        self.port, self.selector = port, selector
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def ask(self, request: bytes) -> None:
        self.received, self.begun = b"", time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> bool:
        """Whether the complete response has arrived. Raises RuntimeError if its status is not 200."""
        piece = self.socket.recv(1 << 20)
        self.received += piece
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not piece and not end:
            raise RuntimeError("the server closed the connection without an answer")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"answered: {head[:100]!r} {body[:300]!r}")
        lower = head.lower()
        if len(body) < int(lower.partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return False
        # Reconnecting is part of the cost of a server that closes after each response.
        if b"connection: close" in lower:
            self.selector.unregister(self.socket)
            self.socket.close()
            self.open()
        return True


def ask(port: int, requests: Sequence[bytes], seconds: float, connections: int = CONNECTIONS) -> Answered:
    """Send these requests in a loop for `seconds`. Raises RuntimeError for any status but 200."""
    with selectors.DefaultSelector() as selector:
        asking = [_Connection(port, selector) for _ in range(connections)]
        taken: list[float] = []
        # Closed loop: each connection sends its next request only after the response to the one before.
        for n, each in enumerate(asking):
            each.ask(requests[n % len(requests)])
        sent, begun = len(asking), time.perf_counter()
        while (now := time.perf_counter()) - begun < seconds or not taken:
            for key, _events in selector.select(1):
                each = key.data
                if each.read():
                    taken.append(time.perf_counter() - each.begun)
                    each.ask(requests[sent % len(requests)])
                    sent += 1
        for each in asking:
            each.socket.close()
    taken.sort()
    return Answered(len(taken) / (now - begun), taken[len(taken) // 2], taken[int(len(taken) * 0.99)])


def request(path: str, key: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
