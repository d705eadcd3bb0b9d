"""Request bodies read whole before Django sees them: within a size, by a deadline, on disk where they are large.

What cannot be read becomes an ordinary answer of the portal: `config.refusals` writes it.
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
# Where the server leaves a refusal in the WSGI environment; no header of a client's can have this name.
REFUSAL = "portal.refusal"
MEMORY = 256 * 1024  # bytes of one body, or one answer, that are kept in memory; the rest goes to a temporary file
LARGEST = 17_000_000  # bytes of a body that is no upload: a little above what the largest endpoint reads
RATE = 16 * 1024  # bytes a second that a client must keep up once its first REQUEST_SECONDS are over
_LOOK_SECONDS = 0.25  # between two looks at who is late
_FORM_FIELDS = 1 << 20  # bytes that may come beside the file of an upload


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
BUSY = (503, "busy", _("Too much is being uploaded at the moment."))
LENGTH_REQUIRED = (411, "length_required", _("Send a Content-Length."))
CODED = (415, "content_encoding", _("Send the body as it is, without a Content-Encoding."))
UNKNOWN_CODING = (501, "transfer_encoding", _("The only transfer encoding that is read is “chunked”."))


class Full(Exception):
    """SPOOL_MB is used up."""


class _Budget:
    """Bytes that this process keeps for all its clients together, so that they cannot fill the disk."""

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
    """A body as far as it has arrived; what it takes of the budget is given back when it is closed."""

    def __init__(self, length: int | None = None) -> None:
        """`length` where it is known, and will not be exceeded."""
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
    """The whole body, from its beginning. Raises Refusal."""
    coding = headers.get("HTTP_TRANSFER_ENCODING")
    length = None if coding else int(headers.get("CONTENT_LENGTH") or 0)
    body = Body(length)
    if length == 0:
        return body
    try:
        if coding and coding.strip().lower() != "chunked":
            raise Refusal(*UNKNOWN_CODING)
        limit = _limit(headers.get("CONTENT_TYPE", ""))
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
    """By when each body that is being read has to be complete. One timer looks after all: one for each costs 25 µs."""

    def __init__(self) -> None:
        self._at: dict[asyncio.Task[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def set(self, task: asyncio.Task[Any], at: float) -> None:
        self._at[task] = at
        if self._timer is None:
            self._timer = task.get_loop().call_later(_LOOK_SECONDS, self._look, task.get_loop())

    def remove(self, task: asyncio.Task[Any], now: float) -> bool:
        """Whether it was in time."""
        return self._at.pop(task, now) > now

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        # The next look comes whatever this one meets, and cancels again whoever has not noticed.
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
        if _deadlines.remove(task, task.get_loop().time()):  # somebody else's doing: the server is ending
            raise
        while task.uncancel():
            pass
        raise Refusal(*TOO_SLOW) from None
    except Full:
        raise Refusal(*BUSY, retry_after=settings.REQUEST_SECONDS) from None
    finally:
        _deadlines.remove(task, begun)


async def _discard(receive: Receive) -> None:
    """Let a client that only listens after it has sent everything do so, for a while: it then reads why."""
    try:
        async with asyncio.timeout(settings.REQUEST_SECONDS):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
    except TimeoutError:
        return


def _limit(content_type: str) -> int:
    """Bytes; only forms with files are uploads, and the page that takes one says what is wrong with it."""
    if content_type.lstrip().lower().startswith("multipart/form-data"):
        return (int(settings.UPLOAD_MB) << 20) + _FORM_FIELDS
    return LARGEST
