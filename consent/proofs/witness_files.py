"""Witness files: JSON Lines that only grow, on disks other than the database's.

Several paths hold the same lines; the one that has come furthest counts, and the others are brought up to it. A line
that a crash left half-written is the last one, and is cut off before the next is written; any other that can't be read
means that the file was damaged. Nobody but the owner can read the files.
"""

import contextlib
import dataclasses
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from .errors import ProofError
from .witness import Change, Line, Unreadable

KEEP_MICROSECONDS = 90 * 86_400_000_000
_TAIL = 1 << 16  # bytes read from the end at first: mostly more than the last line has
# What a crash can leave of a line: its beginning, or a piece of a file that was made longer and never filled.
_BEGINNINGS = (b'{"v":', b"\0")


class Damaged(ProofError):
    """A witness file that can't be relied on: a line before its last can't be read, or two files contradict."""


class Unwritable(ProofError):
    """No file of the witness could be read or written; the message names the first and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class Witness:
    """All files of one installation. An instance keeps nothing in memory: every call reads the disk."""

    paths: tuple[Path, ...]

    @classmethod
    def at(cls, paths: Sequence[str]) -> "Witness":
        return cls(tuple(map(Path, paths)))

    def is_visible(self) -> bool:
        """Whether this process can read any of the files; one that has no line yet counts."""
        return any(os.access(path, os.R_OK) for path in self.paths)

    def may_begin(self) -> bool:
        """Whether this process could begin the witness: there is no file, and each could be made."""
        return all(not path.exists() and os.access(path.parent, os.W_OK | os.X_OK) for path in self.paths)

    def stamp(self) -> tuple[object, ...]:
        """Something that changes whenever a file does, so that a reader need not read what it has read before."""
        return tuple(_stamp(path) for path in self.paths)

    def last(self) -> Line | None:
        """The line that has come furthest; None if no file has any. Raises Damaged, Unwritable."""
        return self._best()[0]

    def lines(self, after: int = 0) -> Iterator[Line]:
        """Lines of the file that has come furthest, those beyond position `after`, in order. Raises as `last`."""
        best = self._best()[1]
        if best is None:
            return
        with best.open("rb") as file:
            for line in _lines(file, best):
                if line.position > after:
                    yield line

    def changes(self, after: int = 0) -> Iterator[Change]:
        """What each witnessed event beyond a position said, in order; of a lost one too."""
        for line in self.lines(after):
            yield from (change for change in line.changes if change.position > after)

    @contextlib.contextmanager
    def held(self) -> Iterator["Held"]:
        """Keep other processes of this machine from appending. Raises Unwritable."""
        with contextlib.ExitStack() as stack:
            locked, why = [], ""
            for path in sorted(self.paths):
                try:
                    stack.enter_context(_lock(path))
                except OSError as error:
                    why = why or f"{path}: {error.strerror}"
                else:
                    locked.append(path)
            if not locked:
                raise Unwritable(f"No witness file can be written ({why}).")
            yield Held(Witness(tuple(locked)), missed=tuple(path for path in self.paths if path not in locked))

    def _readable(self) -> list[Path]:
        found = [path for path in self.paths if os.access(path, os.R_OK)]
        present = [path for path in self.paths if path.exists()]
        if present and not found:
            raise Unwritable(f"No witness file can be read ({present[0]}: permission denied).")
        return found

    def _best(self) -> tuple[Line | None, Path | None]:
        """The line that has come furthest, and a file that has it. One damaged file among others is passed over."""
        found: list[tuple[Line, Path]] = []
        damaged: Damaged | None = None
        for path in self._readable():
            try:
                line = _last(path)
            except Damaged as error:
                damaged = damaged or error
            else:
                found += [(line, path)] if line else []
        if damaged and not found:
            raise damaged
        if not found:
            return None, None
        best = max(found, key=lambda each: each[0].order)
        if any(line.order == best[0].order and line.hash != best[0].hash for line, _path in found):
            raise Damaged("Two witness files contradict each other at the same position.")
        return best


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """The files while this process alone may append. `missed`: paths that can't be written now."""

    witness: Witness
    missed: tuple[Path, ...]

    def last(self) -> Line | None:
        return self.witness.last()

    def append(self, lines: Sequence[Line]) -> list[str]:
        """Add lines to all files, in one write each, and wait until they are on disk.

        Returns a sentence for each file that did not take them. Raises Unwritable if none did, Damaged as `last`.
        """
        best = self.witness._best()[1]  # noqa: SLF001  of the same module
        faults = [f"{path} can't be written." for path in self.missed]
        taken = 0
        # The furthest last: the others are brought up to what it had before.
        for path in sorted(self.witness.paths, key=lambda path: path == best):
            try:
                _catch_up(path, best)
                _append(path, [line.text().encode() + b"\n" for line in lines])
            except Damaged as error:
                faults.append(str(error))
            except OSError as error:
                faults.append(f"{path}: {error.strerror or error}.")
            else:
                taken += 1
        if not taken:
            raise Unwritable(f"No witness file took the line ({faults[-1]})")
        return faults

    def prune(self, now: int, keep: int = KEEP_MICROSECONDS) -> int:
        """Delete lines written more than `keep` microseconds before `now`, but never the last; returns how many."""
        return sum(_prune(path, now - keep) for path in self.witness.paths if path.exists())


# --- One file ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """The lock is a file beside, because pruning replaces the file itself."""
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _last(path: Path) -> Line | None:
    """The last whole line; None if there is none. Raises Damaged."""
    return _end(path)[0]


def _end(path: Path) -> tuple[Line | None, int]:
    """The last whole line, and how many bytes of the file are whole lines. Raises Damaged."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        length = _TAIL
        while True:
            start = max(0, size - length)
            file.seek(start)
            # The first piece may be the end of a line; what follows the last line break is half a line.
            pieces = file.read(size - start).split(b"\n")
            whole = pieces[0 if start == 0 else 1 : -1]
            # Two lines: the last may turn out to be damaged by a crash.
            if start == 0 or len(whole) > 1:
                break
            length *= 4
    torn, size = pieces[-1], size - len(pieces[-1])
    # A crash leaves one piece, not two: either half a line, or a last one with a hole.
    for text in whole[-1:-2:-1] if torn else whole[-1:-3:-1]:
        with contextlib.suppress(Unreadable):
            return _parse(text), size
        torn, size = text, size - len(text) - 1
    if size or not (torn.startswith(_BEGINNINGS) or not (torn or whole)):
        raise Damaged(f"{path}: its last lines can't be read.")
    return None, 0


def _parse(text: bytes) -> Line:
    try:
        return Line.parse(text.decode())
    except UnicodeDecodeError:
        raise Unreadable("This is no text.") from None


def _lines(file: BinaryIO, path: Path) -> Iterator[Line]:
    """Each line from here on. Raises Damaged for one that can't be read, unless it is the last."""
    bad = 0
    for number, text in enumerate(file, 1):
        if bad:
            raise Damaged(f"{path}, line {bad}: can't be read.")
        try:
            line = _parse(text[:-1]) if text.endswith(b"\n") else None
        except Unreadable:
            line = None
        if line is None:
            bad = number
        else:
            yield line


def _open(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
        os.fchmod(descriptor, 0o600)
    return descriptor


def _append(path: Path, lines: Sequence[bytes]) -> None:
    """Append in one piece: after an error the file is as long as before."""
    new = not path.exists()
    descriptor = _open(path)
    try:
        size = _end(path)[1]
        os.ftruncate(descriptor, size)
        try:
            _write(descriptor, b"".join(lines))
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)
    if new:
        _sync_directory(path.parent)


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _catch_up(path: Path, best: Path | None) -> None:
    """Bring a file up to the one that has come furthest; a missing one becomes its copy. Raises Damaged."""
    if best is None or path == best:
        return
    mine = _last(path) if path.exists() else None
    if mine is not None and mine == _last(best):
        return
    if mine is None:
        _replace(path, 0, best)
        return
    with best.open("rb") as file:
        missing = [line.text().encode() + b"\n" for line in _lines(file, best) if line.order > mine.order]
    _append(path, missing)


def _prune(path: Path, until: int) -> int:
    """Delete the lines written before `until`, all but the last; returns how many."""
    gone = start = 0
    with path.open("rb") as file:
        lines = _lines(file, path)
        last = _last(path)
        for line in lines:
            if line.written_at >= until or line == last:
                break
            gone += 1
            start += len(line.text()) + 1
    if gone:
        _replace(path, start, path)
    return gone


def _replace(path: Path, start: int, source: Path) -> None:
    """Make `path` a copy of `source` from a byte on: complete, or as before."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(descriptor, "wb") as out, source.open("rb") as file:
            file.seek(start)
            left = _end(source)[1] - start
            while left and (piece := file.read(min(left, 1 << 20))):
                out.write(piece)
                left -= len(piece)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)
