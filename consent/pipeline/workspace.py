"""Where a run writes until it is done: nothing has its final name before everything has been written and counted.

What is made for `OUT` lies in `OUT.partial/`, with a journal of the files that are done, from which a run is resumed.
"""

import contextlib
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Self

from .errors import PipelineError
from .stores import Places
from .targets import partial, require_apart

_JOURNAL, _LOCK, _SCRATCH = _OWN = (".journal.jsonl", ".lock", ".scratch")
_BESIDE = "beside"  # in the journal: a file beside the outputs, and by what it is known again


class Workspace:
    """The outputs of one run. Use it in a `with`: if the run fails, what can't be resumed is deleted."""

    def __init__(self, outputs: Mapping[str, Path], beside: Sequence[Path], *, single: bool) -> None:
        """`outputs`: allowed and perhaps denied → where to; `single`: these are files, else folders of files.
        `beside`: files that tell about them. All as `targets.where` spells them.

        Raises PipelineError if something is there already, or two outputs have the same name.
        """
        self._outputs, self._beside, self._single = dict(outputs), list(beside), single
        self._partial = {what: partial(path) for what, path in outputs.items()}
        self._home = next(iter(self._partial.values()))
        self._locked: list[int] = []
        self._ours = False  # from when on what lies there is of this run
        self._done: list[dict[str, Any]] = []
        self._made: list[Path] = []  # of what is beside
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
        self._require_startable(there, resume=resume)
        for path in self._beside:
            path.parent.mkdir(parents=True, exist_ok=True)
        for folder in self._partial.values():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock()
        lines = _whole_lines(self._home / _JOURNAL)
        if not lines and any(path.name not in _OWN for folder in there for path in folder.iterdir()):
            raise PipelineError(f"{there[0]} is of no run that could be resumed: delete it.")
        if lines and lines[0] != fingerprint:
            raise PipelineError(f"The run in {self._home} had another snapshot, other columns or options: delete it.")
        self._clear_beside([each[_BESIDE] for each in lines[1:] if _BESIDE in each])
        self._ours = True
        self._done = [each for each in lines[1:] if _BESIDE not in each]
        # Written anew: a run that was killed may have left half a line.
        with os.fdopen(_private(self._home / _JOURNAL, os.O_TRUNC), "wb") as out:
            out.writelines(_line(each) for each in (fingerprint, *self._done))
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(mode=0o700)
        return list(self._done)

    def _require_startable(self, there: Sequence[Path], *, resume: bool) -> None:
        """Raises PipelineError unless what is `there` is of a run that is resumed, or there is nothing."""
        for folder in there:
            if folder.is_symlink():
                _require_none(folder)
        if there and not (resume and self._home.exists()):
            for folder in there:
                _require_free(folder)
            raise PipelineError(f"{there[0]} is of a run that did not end: --resume goes on with it, or delete it.")
        if not there:
            for path in self._beside:
                _require_none(partial(path))

    def _clear_beside(self, noted: list[list[Any]]) -> None:
        """Delete what the run that is resumed has left beside its outputs. Raises PipelineError for anything else."""
        for path in map(partial, self._beside):
            if os.path.lexists(path) and [str(path), *_identity(path)] not in noted:
                _require_none(path)
            path.unlink(missing_ok=True)

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
        self._write_down(entry)

    def _write_down(self, entry: dict[str, Any]) -> None:
        with os.fdopen(_private(self._home / _JOURNAL, os.O_APPEND), "ab") as out:
            out.write(_line(entry))
            out.flush()
            os.fsync(out.fileno())

    def commit(self, beside: Mapping[Path, bytes], names: Mapping[str, Iterable[str]], places: Places) -> None:
        """Give everything its final name, what is `beside` last, in its order, or nothing. `names`: the files of each
        output; whatever else lies there an earlier run has left, of files that are no longer filtered or in the middle
        of one. `places`: what belongs on a store gets there."""
        for what, folder in self._partial.items():
            _sweep(folder, {folder / name for name in names[what]} | {folder / name for name in _OWN})
        written = [(self._write(partial(final), text), final) for final, text in beside.items()]
        shutil.rmtree(self.scratch)
        outputs = [
            (folder / self._outputs[what].name if self._single else folder, self._outputs[what])
            for what, folder in reversed(self._partial.items())
        ]
        _rename_all([*outputs, *written], places)
        # Only now: without them nothing could be resumed.
        for what, folder in self._partial.items():
            left = folder if self._single else self._outputs[what]
            for name in (_JOURNAL, _LOCK):
                (left / name).unlink(missing_ok=True)
            if self._single:
                left.rmdir()

    def _write(self, path: Path, text: bytes) -> Path:
        """A new file beside the outputs, noted as ours."""
        with os.fdopen(_private(path, os.O_EXCL), "wb") as out:
            self._made.append(path)
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        self._write_down({_BESIDE: [str(path), *_identity(path)]})
        return path

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
            for path in self._made:
                path.unlink(missing_ok=True)
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


def _sweep(folder: Path, kept: Set[Path]) -> None:
    """Delete the files that are not kept, and the folders that are empty then."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if kept.isdisjoint((path, *path.parents)):
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    path.rmdir()
            else:
                path.unlink()


def _private(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)


def _identity(path: Path) -> list[int]:
    """By which a file is known again; a link is none of ours, nor is what has another name."""
    found = path.lstat()
    known = [found.st_dev, found.st_ino, found.st_mtime_ns]
    return known if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 else []


def _require_none(path: Path) -> None:
    if os.path.lexists(path):
        raise PipelineError(f"{path} is there already, where a run writes until it is done: move it away.")


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


def _rename_all(moves: Sequence[tuple[Path, Path]], places: Places) -> None:
    """Rename all of these, in this order, or none; what belongs on a store has been uploaded before the first."""
    done: list[tuple[Path, Path]] = []
    try:
        for path, final in moves:
            places.upload(path, final)
        for path, final in moves:
            done.append((path, final))
            _rename(path, final)
            places.publish(final)
    except BaseException:
        places.take_back()
        for path, final in reversed(done):
            if not os.path.lexists(path):
                final.rename(path)
        raise


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
