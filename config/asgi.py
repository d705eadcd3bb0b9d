"""ASGI application: what `make serve` serves, with any ASGI server.

Django runs on a few threads, as under WSGI. A request gets a thread only after its whole body has arrived, and the
event loop sends the response without the thread, at the client's pace. So a client that sends its body or reads its
response slowly delays only itself.
"""

import asyncio
import contextlib
import functools
import io
import queue
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import Future
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings

from .bodies import MEMORY, REFUSAL, Body, Full, Receive, Refusal, read_body
from .timeouts import PROBES
from .wsgi import application as django

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Environ = dict[str, Any]
Message = MutableMapping[str, Any]
_PIECE = 64 * 1024  # bytes of a long response that are sent at a time; the client must take each within REQUEST_SECONDS


async def application(scope: Message, receive: Receive, send: Send) -> None:
    # Raising tells the server that lifespan events and websockets are not supported.
    if scope["type"] != "http":
        raise NotImplementedError(f"{scope['type']} is not served")
    environ, loop = make_environ(scope), asyncio.get_running_loop()
    body: Body | None
    try:
        body = await read_body(receive, environ)
    except Refusal as refusal:
        # Pass the request on without a body: RefusalMiddleware answers it.
        environ |= {REFUSAL: refusal, "CONTENT_LENGTH": "0", "wsgi.input": io.BytesIO()}
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        body = None
    else:
        # A chunked body has arrived completely, so now its length is known.
        if environ.pop("HTTP_TRANSFER_ENCODING", None):
            environ["CONTENT_LENGTH"] = str(body.size)
        environ["wsgi.input"] = body.file
    threads = _probe_threads if environ["PATH_INFO"] in PROBES else _threads
    answer = await threads.run(loop, lambda: _respond(environ, body, loop, send))
    if isinstance(answer, Future):  # a long one, which is being sent already
        await asyncio.wrap_future(answer)
        return
    for message in answer:
        await send(message)


def make_environ(scope: Message) -> Environ:
    """The WSGI environment (PEP 3333) of an ASGI request, without `wsgi.input`."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client") or ("", 0)
    path = scope.get("raw_path") or scope["path"].encode()
    environ: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = _environ_name(raw_name), raw_value.decode("latin-1")
        # Join repeated headers into one line: cookies with ";", all others with ",".
        if name in environ:
            value = environ[name] + (";" if name == "HTTP_COOKIE" else ",") + value
        environ[name] = value
    environ.pop("", None)
    return environ


@functools.lru_cache(512)
def _environ_name(header: bytes) -> str:
    """The WSGI name of a header; "", which drops it, if it has an underscore.

    In WSGI, `X_Foo` and `X-Foo` have the same name, so a client could forge a header that only a proxy may set.
    """
    if b"_" in header:
        return ""
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"


@functools.lru_cache(512)
def _answer_name(header: str) -> bytes:
    return header.lower().encode("latin-1")


class _Threads:
    """A thread pool of daemon threads. The standard library's executor costs 30 µs more for each request."""

    def __init__(self, number: int) -> None:
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        for n in range(number):
            threading.Thread(target=self._run, name=f"answer-{n}", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._work.get()()

    def run(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Call `work` on a thread; returns a future of its result or exception."""
        done: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def answer() -> None:
            try:
                result, error = work(), None
            except BaseException as raised:
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the event loop was closed meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        self._work.put(answer)
        return done


_threads = _Threads(settings.WEB_THREADS)
# Health checks have a thread of their own, so that they are answered while all other threads are busy.
_probe_threads = _Threads(1)


def _respond(
    environ: Environ, body: Body | None, loop: asyncio.AbstractEventLoop, send: Send
) -> "list[Message] | Future[None]":
    """Run Django, on a pool thread. Returns the response's messages; for a long one, a future, done when it is sent.

    A response is long if it is streaming and has more than MEMORY bytes.
    """
    head: Message = {"type": "http.response.start"}

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
        encoded = [(_answer_name(name), value.encode("latin-1")) for name, value in headers]
        if body is None:  # the unread rest of the body would be taken for the next request
            encoded.append((b"connection", b"close"))
        head.update(status=int(status[:3]), headers=encoded)
        return lambda _data: None

    response = django(environ, start_response)
    try:
        start, pieces = bytearray(), iter(response)
        for piece in pieces:
            start += piece
            # Too long for memory: the event loop starts to send, and this thread writes the rest to the spool.
            if len(start) > MEMORY and getattr(response, "streaming", False):
                spool = Spool(loop)
                sending = asyncio.run_coroutine_threadsafe(transmit(head, spool, send), loop)
                spool.fill(bytes(start), pieces)
                return sending
        return [head, {"type": "http.response.body", "body": bytes(start), "more_body": False}]
    finally:
        if hasattr(response, "close"):  # PEP 3333: it need not have one
            response.close()
        if body is not None:
            body.close()


async def transmit(head: Message, spool: "Spool", send: Send) -> None:
    """Send a long response. Raises ConnectionAbortedError if not all of it can be sent: the server then disconnects."""
    try:
        await send(head)
        async for piece in spool.pieces():
            async with asyncio.timeout(settings.REQUEST_SECONDS):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except TimeoutError:
        raise ConnectionAbortedError("the client did not read its answer in time") from None
    finally:
        spool.close()


class Spool:
    """Buffer of a long response: a thread writes it, the event loop reads it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._body, self._lock, self._loop, self._more = Body(), threading.Lock(), loop, asyncio.Event()
        self._read = 0
        self._closed = self._ended = self._complete = False

    def fill(self, start: bytes, rest: Iterable[bytes]) -> None:
        """Write the whole response without waiting for the reader; stops if it was closed or SPOOL_MB is used up."""
        complete = False
        try:
            self._write(start)
            for piece in rest:
                self._write(piece)
            complete = True
        except (Full, BrokenPipeError):
            pass
        finally:
            self._end(complete)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._closed:
                raise BrokenPipeError
            self._body.file.seek(self._body.size)
            self._body.write(data)
        self._loop.call_soon_threadsafe(self._more.set)

    def _end(self, complete: bool) -> None:
        with self._lock:
            self._ended, self._complete = True, complete
        self._loop.call_soon_threadsafe(self._more.set)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The response in pieces of at most _PIECE bytes. Raises ConnectionAbortedError if `fill` stopped early."""
        while True:
            # Clear before reading: what is written after the read sets it again, so no wake-up is lost.
            self._more.clear()
            with self._lock:
                self._body.file.seek(self._read)
                piece, ended = self._body.file.read(_PIECE), self._ended
            if piece:
                self._read += len(piece)
                yield piece
            elif not ended:
                await self._more.wait()
            elif self._complete:
                return
            else:
                raise ConnectionAbortedError("the answer could not be completed")

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._body.close()
