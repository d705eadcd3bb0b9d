"""One request to somebody else's server: checked when connecting, bounded in time and size, no redirects followed."""

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
LARGEST = 64 * 1024  # bytes of an answer that are read
LONGEST_WAIT = 24 * 3600  # seconds that a receiver may ask for
_KEPT = 200  # characters of it that are kept


@dataclasses.dataclass(frozen=True)
class ReceiverResponse:
    """`status` None: there was no answer, and `error` says why. `retry_after`: seconds that were asked for, or 0."""

    status: int | None
    error: str
    latency_ms: int
    start: str
    retry_after: int = 0

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class _Deadline:
    """By when the request at hand has to be over."""

    def __init__(self) -> None:
        self.at = 0.0

    def limit(self, timeout: float | None) -> float:
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("took too long in all")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    """Keeps to the deadline, however slowly the other side drips."""

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
    """Connects to addresses that were looked at: a name that resolves otherwise a moment later changes nothing."""

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
        except (OSError, ValueError) as error:  # UnicodeError among the latter: a name that can't be asked for
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
    """Keeps connections open from one request to the next; for one thread."""

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
        """The answer, whatever it is; never raises for what the other side does."""
        begun = time.monotonic()
        self._deadline.at = begun + TOTAL
        try:
            status, start, retry_after = self._exchange(url, headers, body)
        except Exception as error:  # whatever it is, it is an attempt that failed, and its webhook's page says why
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
                if len(read) >= LARGEST:  # closing in the middle drops the connection
                    break
        start = _storable(bytes(read[: _KEPT * 4]).decode("utf-8", "replace"))
        return response.status, start, _retry_after(response.headers)


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Seconds, at most LONGEST_WAIT, by either form of Retry-After; 0 where it says neither, or the past."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            text = value.decode("latin-1").strip()
            if re.fullmatch(r"[0-9]+", text):
                return min(int(text[:9]), LONGEST_WAIT)
            at = parse_http_date_safe(text)
            return 0 if at is None else max(0, min(at - round(time.time()), LONGEST_WAIT))
    return 0


def _ssl_context() -> ssl.SSLContext:
    """The system's authorities, and WEBHOOK_CA_FILE's beside them."""
    context = httpcore.default_ssl_context()
    if settings.WEBHOOK_CA_FILE:
        context.load_verify_locations(settings.WEBHOOK_CA_FILE)
    return context


def failed(error: Exception, latency_ms: int = 0) -> ReceiverResponse:
    """There was no answer, and this is why."""
    match error:
        case Refused():
            text = str(error)
        case httpcore.TimeoutException():
            text = f"no answer in time: {error}".removesuffix(": ")
        case _:
            text = f"{type(error).__name__}: {error}"
    return ReceiverResponse(None, _storable(text), latency_ms, "")


def _storable(text: str) -> str:
    """Without what no database takes."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")[:_KEPT]


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)
