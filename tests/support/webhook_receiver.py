"""A local receiver of webhooks for tests, as well or as badly behaved as a test needs it."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from accounts.access import Actor
from accounts.models import User
from consent.delivery.endpoints import send_next_test
from consent.delivery.sending import Sender
from consent.models import WebhookAttempt, WebhookEndpoint
from consent.services import webhooks

Behave = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: "Receiver"

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.got.append((dict(self.headers.items()), self.body))
        self.receiver.behave(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        pass


def result_of_test(endpoint: WebhookEndpoint) -> WebhookAttempt:
    """Request a test message, let a worker send it, and return its result."""
    asked = webhooks.request_test(endpoint=endpoint, actor=Actor.from_user(User.objects.filter(is_staff=True)[0]))
    sender = Sender()
    try:
        sent = send_next_test(sender)
    finally:
        sender.close()
    assert sent is not None and sent.pk == asked.pk
    asked.refresh_from_db()
    return asked


def ok(handler: Handler) -> None:
    handler.answer(200, b"thanks")


def saying(status: int, **headers: str) -> Behave:
    return lambda handler: handler.answer(status, b"no", **headers)


def dripping(handler: Handler) -> None:
    """Send one byte from time to time, without end."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b".")
        handler.wfile.flush()
        time.sleep(0.1)


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def silent(handler: Handler) -> None:
    time.sleep(20)


def bomb(handler: Handler) -> None:
    handler.answer(200, b"\x1f\x8b" + b"\x00" * 1000, Content_Encoding="gzip")


def long_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 5000) for n in range(100)))


def rubbish(handler: Handler) -> None:
    handler.wfile.write(b"\x00\x01 this is no HTTP\r\n\r\n")


def hanging_up(handler: Handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


class Receiver:
    """`got` are the headers and bodies received, in order; `behave` can be replaced at any time."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.behave: Behave = ok
        handler = type("Bound", (Handler,), {"receiver": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port: int = self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _headers, body in self.got]

    @property
    def positions(self) -> list[int]:
        return [event["position"] for event in self.events]


@contextmanager
def receiver(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    found = Receiver(context)
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.server.shutdown()
        found.server.server_close()
