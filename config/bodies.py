"""Reads each request body completely before Django sees it: with a size limit and a deadline; large ones go to disk.

A body that cannot be read becomes an ordinary error response: see `config.refusals`.
"""

import asyncio
import dataclasses
import io
import tempfile
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import IO, Any, cast

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
# The key of a Refusal in the WSGI environment. Header names start with HTTP_, so no client can set it.
REFUSAL = "portal.refusal"
MEMORY = 256 * 1024  # bytes up to which a request or response body stays in memory; a larger one goes to disk
LARGEST = 17_000_000  # bytes of a body other than an upload: a little more than the largest endpoint accepts
RATE = 16 * 1024  # bytes a second that a client must send on average after the first REQUEST_SECONDS
_LOOK_SECONDS = 0.25  # between two checks of all deadlines
_FORM_FIELDS = 1 << 20  # bytes of an upload form in addition to the file


@dataclasses.dataclass
class Refusal(Exception):
    """Why a request is not passed on to Django."""

    status: int
    code: str
    detail: str | Promise
    retry_after: int | None = None


INCOMPLETE = (400, "incomplete", _("The body was cut off."))
TOO_SLOW = (408, "too_slow", _("The body did not arrive in time."))
TOO_LARGE = (413, "too_large", _("The body is too large."))
BUSY = (503, "busy", _("Too many uploads are in progress. Try again later."))
LENGTH_REQUIRED = (411, "length_required", _("Send a Content-Length."))
CODED = (415, "content_encoding", _("Send the body without a Content-Encoding."))
UNKNOWN_CODING = (501, "transfer_encoding", _("The only supported transfer encoding is “chunked”."))


class Full(Exception):
    """The process holds SPOOL_MB of bodies already."""


class _Budget:
    """Limits the bytes that this process holds for all clients together, so that they cannot fill the disk."""

    def __init__(self) -> None:
        self._held, self._lock = 0, threading.Lock()

    def take(self, size: int) -> None:
        """Raises Full."""
        with self._lock:
            if self._held + size > settings.SPOOL_MB << 20:
                raise Full
            self._held += size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._held -= size


budget = _Budget()


class Body:
    """A body that is being received or sent; `close` returns its bytes to the budget."""

    def __init__(self, length: int | None = None) -> None:
        """`length`: the body's size in bytes, if known; then it must not be exceeded."""
        self.size = 0
        self.file: IO[bytes]
        if length is not None and length <= MEMORY:
            self.file = io.BytesIO()
        else:
            self.file = cast(IO[bytes], tempfile.SpooledTemporaryFile(MEMORY))  # noqa: SIM115  closed below

    def write(self, data: bytes) -> None:
        """Raises Full."""
        budget.take(len(data))
        self.size += len(data)
        self.file.write(data)

    def close(self) -> None:
        self.file.close()
        budget.give_back(self.size)
        self.size = 0


async def read_body(receive: Receive, headers: MutableMapping[str, Any]) -> Body:
    """The whole body, its file at position 0. Raises Refusal."""
    # With a Transfer-Encoding the length is unknown; without one, a missing Content-Length means no body.
    coding = headers.get("HTTP_TRANSFER_ENCODING")
    length = None if coding else int(headers.get("CONTENT_LENGTH") or 0)
    body = Body(length)
    if length == 0:
        return body
    try:
        if coding and coding.strip().lower() != "chunked":
            raise Refusal(*UNKNOWN_CODING)
        limit = _limit(headers.get("CONTENT_TYPE", ""))
        # Refuse by the announced length, before anything is stored.
        if length is not None and length > limit:
            await _discard(receive)
            raise Refusal(*TOO_LARGE)
        await _fill(body, receive, limit)
    except BaseException:
        body.close()
        raise
    body.file.seek(0)
    return body


class _Deadlines:
    """The deadlines of all bodies being read. One timer checks all of them, because one timer each costs 25 µs."""

    def __init__(self) -> None:
        self._at: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, task: asyncio.Task[Any], at: float) -> None:
        self._at[task] = at
        if self._timer is None:
            self._timer = task.get_loop().call_later(_LOOK_SECONDS, self._look, task.get_loop())

    def remove(self, task: asyncio.Task[Any], now: float) -> bool:
        """Drop the task's deadline; returns whether it still lay in the future (False too if there was none)."""
        return self._at.pop(task, now) > now

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # Schedule the next check first: it runs even if this one fails, and cancels tasks again that did not end.
        self._timer = loop.call_later(_LOOK_SECONDS, self._look, loop) if self._at else None
        for task in [task for task, at in self._at.items() if at <= now]:
            task.cancel()


_deadlines = _Deadlines()


async def _fill(body: Body, receive: Receive, limit: int) -> None:
    task = cast("asyncio.Task[Any]", asyncio.current_task())
    begun = task.get_loop().time()
    _deadlines.set(task, begun + settings.REQUEST_SECONDS)
    try:
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal(*INCOMPLETE)
            data = message.get("body", b"")
            if body.size + len(data) > limit:
                raise Refusal(*TOO_LARGE)
            body.write(data)
            if not message.get("more_body"):
                return
            _deadlines.set(task, begun + settings.REQUEST_SECONDS + body.size / RATE)
    except asyncio.CancelledError:
        if _deadlines.remove(task, task.get_loop().time()):  # not the deadline's doing: the server is shutting down
            raise
        # Our own deadline cancelled the task: withdraw the cancellation, so that the task can send a response.
        while task.uncancel():
            pass
        raise Refusal(*TOO_SLOW) from None
    except Full:
        raise Refusal(*BUSY, retry_after=settings.REQUEST_SECONDS) from None
    finally:
        _deadlines.remove(task, begun)


async def _discard(receive: Receive) -> None:
    """Read and drop the body for REQUEST_SECONDS, because some clients read the response only after sending all."""
    try:
        async with asyncio.timeout(settings.REQUEST_SECONDS):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        return


def _limit(content_type: str) -> int:
    """The limit in bytes. It is higher for forms with files, so that their page can report a file that is too large."""
    if content_type.lstrip().lower().startswith("multipart/form-data"):
        return (int(settings.UPLOAD_MB) << 20) + _FORM_FIELDS
    return LARGEST
