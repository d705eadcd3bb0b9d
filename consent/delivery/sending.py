"""HTTP requests to other people's servers: only to checked addresses, bounded in time and size, without redirects."""

import dataclasses
import re
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
from django.conf import settings
from django.utils.http import parse_http_date_safe

from ..webhooks.addresses import Refused, resolve

CONNECT, READ, TOTAL = 5.0, 10.0, 15.0  # seconds
LARGEST = 64 * 1024  # at most so many bytes of an answer are read
LONGEST_WAIT = 24 * 3600  # at most so many seconds of Retry-After are respected
_KEPT = 200  # so many characters of an answer, or of an error, are stored


@dataclasses.dataclass(frozen=True)
class ReceiverResponse:
    """A receiver's response. `status` None: there was none, `error` says why. `start`: the beginning of its body.

    `retry_after` is in seconds, 0 without the header.
    """

    status: int | None
    error: str
    latency_ms: int
    start: str
    retry_after: int = 0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class _Deadline:
    """The end of the time for the current request, shared with its connection's streams."""

    def __init__(self) -> None:
        self.at = 0.0

    def limit(self, timeout: float | None) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("took too long in all")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """Enforces the deadline on every read and write, so that a slow sender of single bytes can't exceed it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.limit(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.limit(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        inner = self._stream.start_tls(ssl_context, server_hostname, self._deadline.limit(timeout))
        return _Stream(inner, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Network(httpcore.SyncBackend):
    """Connects to the very addresses that were checked, so that DNS rebinding has no effect."""

    def __init__(self, deadline: _Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port)
        except (OSError, ValueError) as error:  # a ValueError is a UnicodeError: the name is not valid in IDNA
            raise httpcore.ConnectError(f"{host} can't be found: {error}") from error
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    address, port, self._deadline.limit(timeout), local_address, socket_options
                )
                return _Stream(stream, self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class Sender:
    """An HTTP client with a pool of open connections. Not thread-safe: each thread has its own."""

    def __init__(self) -> None:
        self._deadline = _Deadline()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_ssl_context(),
            max_connections=8,
            max_keepalive_connections=4,
            keepalive_expiry=30,
            network_backend=_Network(self._deadline),
        )

    def close(self) -> None:
        self._pool.close()

    def post(self, url: str, headers: dict[str, str], body: bytes) -> ReceiverResponse:
        """The response, or a failed one for any error: never raises, whatever the receiver does."""
        begun = time.monotonic()
        self._deadline.at = begun + TOTAL
        try:
            status, start, retry_after = self._exchange(url, headers, body)
        except Exception as error:  # any error is a failed attempt, shown on the webhook's page
            return failed(error, _since(begun))
        error_text = "it redirects, and redirects are not followed" if 300 <= status < 400 else ""
        return ReceiverResponse(status, error_text, _since(begun), start, retry_after)

    def _exchange(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str, int]:
        timeouts = {"connect": CONNECT, "read": READ, "write": READ, "pool": CONNECT}
        sent = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        with self._pool.stream("POST", url, headers=sent, content=body, extensions={"timeout": timeouts}) as response:
            read = bytearray()
            for piece in response.iter_stream():
                read += piece
                if len(read) >= LARGEST:  # leaving the block before the end closes the connection
                    break
        start = _storable(bytes(read[: _KEPT * 4]).decode("utf-8", "replace"))
        return response.status, start, _retry_after(response.headers)


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Seconds of Retry-After (a number or a date), at most LONGEST_WAIT; 0 if it is missing, malformed or past."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            text = value.decode("latin-1").strip()
            if re.fullmatch(r"[0-9]+", text):
                return min(int(text[:9]), LONGEST_WAIT)
            at = parse_http_date_safe(text)
            return 0 if at is None else max(0, min(at - round(time.time()), LONGEST_WAIT))
    return 0


def _ssl_context() -> ssl.SSLContext:
    """A context that trusts the system's certificate authorities and those of WEBHOOK_CA_FILE."""
    context = httpcore.default_ssl_context()
    if settings.WEBHOOK_CA_FILE:
        context.load_verify_locations(settings.WEBHOOK_CA_FILE)
    return context


def failed(error: Exception, latency_ms: int = 0) -> ReceiverResponse:
    """The ReceiverResponse of an attempt that got none, with the error's text."""
    match error:
        case Refused():
            text = str(error)
        case httpcore.TimeoutException():
            text = f"no answer in time: {error}".removesuffix(": ")
        case _:
            text = f"{type(error).__name__}: {error}"
    return ReceiverResponse(None, _storable(text), latency_ms, "")


def _storable(text: str) -> str:
    """The text as the database can store it, without NUL and lone surrogates, and shortened."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")[:_KEPT]


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
