"""Where a run writes until it is done: nothing has its final name before everything has been written and counted.

What is made for `OUT` lies in `OUT.partial/`, with a journal of the files that are done, from which a run is resumed.
"""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Self

from .errors import PipelineError

_JOURNAL, _LOCK, _SCRATCH = _OWN = (".journal.jsonl", ".lock", ".scratch")


class Workspace:
    """The outputs of one run. Use it in a `with`: if the run fails, what can't be resumed is deleted."""

    def __init__(self, outputs: Mapping[str, Path], beside: Sequence[Path], *, single: bool) -> None:
        """`outputs`: allowed and perhaps denied → where to; `single`: these are files, else folders of files.
        `beside`: files that tell about them.

        Raises PipelineError if something is there already, or two outputs have the same name.
        """
        self._outputs, self._beside, self._single = dict(outputs), list(beside), single
        self._partial = {what: _partial(path) for what, path in outputs.items()}
        self._home = next(iter(self._partial.values()))
        self._locked: list[int] = []
        self._ours = False  # from when on what lies there is of this run
        self._done: list[dict[str, Any]] = []
        targets = [*outputs.values(), *beside]
        for path in targets:
            if os.path.lexists(path):
                raise PipelineError(f"{path} is there already: nothing is overwritten.")
        require_apart(targets)

    def begin(self, fingerprint: dict[str, Any], *, resume: bool) -> list[dict[str, Any]]:
        """Make the folders; returns what an earlier run noted of the files it had done, if this one resumes it.

        `fingerprint`: what has to be the same to go on. Raises PipelineError if an earlier or other run is in the way.
        """
        there = [folder for folder in self._partial.values() if os.path.lexists(folder)]
        if there and not (resume and self._home.exists()):
            for folder in there:
                _require_free(folder)
            raise PipelineError(f"{there[0]} is of a run that did not end: --resume goes on with it, or delete it.")
        for folder in self._partial.values():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock()
        journal = self._home / _JOURNAL
        lines = _whole_lines(journal)
        if not lines and any(path.name not in _OWN for folder in there for path in folder.iterdir()):
            raise PipelineError(f"{there[0]} is of no run that could be resumed: delete it.")
        self._ours = not lines or lines[0] == fingerprint
        if not self._ours:
            raise PipelineError(f"The run in {self._home} had another snapshot, other columns or options: delete it.")
        self._done = lines[1:]
        # Written anew: a run that was killed may have left half a line.
        with os.fdopen(_private(journal, os.O_TRUNC), "wb") as out:
            out.writelines(_line(each) for each in (fingerprint, *self._done))
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        return list(self._done)

    @property
    def scratch(self) -> Path:
        """A folder for what is needed during the run alone."""
        return self._home / _SCRATCH

    def place(self, what: str, name: str) -> Path:
        """Where a file is until the run is done."""
        return self._partial[what] / name

    def note(self, entry: dict[str, Any]) -> None:
        """Note that a file is done: a run that resumes this one passes over it."""
        self._done.append(entry)
        with os.fdopen(_private(self._home / _JOURNAL, os.O_APPEND), "ab") as out:
            out.write(_line(entry))
            out.flush()
            os.fsync(out.fileno())

    def commit(self, beside: Mapping[Path, bytes], names: Mapping[str, Iterable[str]]) -> None:
        """Give everything its final name, what is `beside` last, in its order. `names`: the files of each output;
        whatever else lies there an earlier run has left, of files that are no longer filtered or in the middle of one.
        """
        for what, folder in self._partial.items():
            _sweep(folder, {folder / name for name in names[what]} | {folder / name for name in _OWN})
        noted = {final: _write(_partial(final), text) for final, text in beside.items()}
        shutil.rmtree(self.scratch)
        (self._home / _JOURNAL).unlink()
        for folder in self._partial.values():
            (folder / _LOCK).unlink()
        for what, final in reversed(self._outputs.items()):
            partial = self._partial[what]
            if self._single:
                (written,) = partial.iterdir()
                _rename(written, final)
                partial.rmdir()
            else:
                _rename(partial, final)
        for final, written in noted.items():
            _rename(written, final)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if not self._locked:
            return
        if kind is not None and self._ours:
            shutil.rmtree(self.scratch, ignore_errors=True)
            if self._single or not self._done:
                for folder in self._partial.values():
                    shutil.rmtree(folder, ignore_errors=True)
            for final in self._beside:
                with contextlib.suppress(OSError):  # something else is there
                    _partial(final).unlink()
        self._unlock()

    def _lock(self) -> None:
        try:
            for folder in self._partial.values():
                self._locked.append(_private(folder / _LOCK))
                _take(self._locked[-1], folder)
        except PipelineError:
            self._unlock()
            raise

    def _unlock(self) -> None:
        while self._locked:
            os.close(self._locked.pop())


def _take(lock: int, folder: Path) -> None:
    """Lock until the file is closed. Raises PipelineError if a run that has not ended holds the lock."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise PipelineError(f"Another run is writing to {folder}: wait until it has ended.") from None


def _require_free(folder: Path) -> None:
    """Raises PipelineError if a run is writing to the folder; one that was stopped holds no lock any more."""
    with contextlib.suppress(OSError):  # no lock
        lock = os.open(folder / _LOCK, os.O_WRONLY)
        try:
            _take(lock, folder)
        finally:
            os.close(lock)


def require_apart(targets: Sequence[Path]) -> None:
    """Raises PipelineError if two outputs are the same, however they are spelled, or one is inside another: before the
    end they would be in each other's way."""
    for path, other in itertools.permutations(targets, 2):
        for place, beside in itertools.product(_places(path), _places(other)):
            if place == beside:
                raise PipelineError(f"Two outputs have the same name: {path} and {other}.")
            if place.is_relative_to(beside):
                raise PipelineError(f"{path} is inside {other}: outputs have to be apart.")


def _places(path: Path) -> list[Path]:
    return [Path(os.path.realpath(each)) for each in (path, _partial(path))]


def _sweep(folder: Path, kept: Set[Path]) -> None:
    """Delete the files that are not kept, and the folders that are empty then."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if kept.isdisjoint((path, *path.parents)):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()
            else:
                path.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def _write(path: Path, text: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(_private(path, os.O_TRUNC), "wb") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    return path


def _private(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def _whole_lines(journal: Path) -> list[dict[str, Any]]:
    """The entries of a journal; the last is left out if it was not written to its end."""
    try:
        lines = journal.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]
    except FileNotFoundError:
        return []
    except ValueError:
        raise PipelineError(f"{journal} can't be read: delete what that run left.") from None


def _rename(path: Path, final: Path) -> None:
    """Move to the final name. What came to be there meanwhile is not overwritten; the name is on the disk then."""
    if os.path.lexists(final):
        raise PipelineError(f"{final} has come to be there meanwhile: nothing is overwritten.", 1)
    path.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
