"""Files that are written completely or not at all, readable only by their owner; and reading files, gzipped or not."""

import contextlib
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from django.conf import settings
from django.utils.translation import gettext_lazy

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# For a file packed by gzip that ends early, or whose contents are damaged.
DAMAGED = gettext_lazy("The gzip file is damaged or incomplete. Compress the file again, or send it uncompressed.")


class BadFile(Exception):
    """The file as a whole can't be read or written; the message says what to do."""


@contextlib.contextmanager
def new_file(path: str, *, force: bool = False) -> Iterator[BinaryIO]:
    """A new file that appears at `path`, mode 0600, once it is complete; gzipped if the name ends in .gz.

    Raises BadFile if the file exists, unless `force`, and if it can't be created.
    """
    target = Path(path)
    if target.exists() and not force:
        raise BadFile(f"{path} is there already; --force replaces it.")
    if target.exists() and not target.is_file():
        raise BadFile(f"{path} is not a file.")
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}.") from error
    os.close(descriptor)
    try:
        with Path(name).open("wb") as raw:
            with _packed(raw, target) as out:
                yield out
            raw.flush()
            # On disk before the rename, so that after a crash the file is complete or absent.
            os.fsync(raw.fileno())
        Path(name).replace(target)
    except BaseException as error:
        # An interruption counts too: no partial file stays.
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BadFile(f"{path}: {error.strerror or error}.") from error
        raise


@contextlib.contextmanager
def _packed(raw: BinaryIO, target: Path) -> Iterator[BinaryIO]:
    if target.suffix != ".gz":
        yield raw
        return
    # Without name and time in the header, so that the same contents give the same bytes.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        io.BufferedWriter(cast(io.RawIOBase, packed), 1 << 16) as out,
    ):
        yield cast(BinaryIO, out)


class _Unpacked(io.RawIOBase):
    """The unpacked contents, up to UNPACKED_MB: a file made for that unpacks to a thousand times its size."""

    def __init__(self, packed: gzip.GzipFile) -> None:
        self._packed, self._left = packed, settings.UNPACKED_MB << 20

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        data = self._packed.read(len(memoryview(buffer)))
        self._left -= len(data)
        if self._left < 0:
            limit = settings.UNPACKED_MB
            raise BadFile(f"The file unpacks to more than {limit} MiB. Split it, or raise UNPACKED_MB.")
        memoryview(buffer)[: len(data)] = data
        return len(data)


@contextlib.contextmanager
def open_file(path: str) -> Iterator[BinaryIO]:
    """Open a file for reading; gzip is detected by its first bytes and unpacked. Raises BadFile if that fails."""
    try:
        raw = Path(path).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}.") from error
    with raw:
        if raw.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as packed, io.BufferedReader(_Unpacked(packed), 1 << 16) as lines:
                try:
                    yield cast(BinaryIO, lines)
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise BadFile(DAMAGED) from error
        else:
            yield raw
