"""Where a run may write: to one spelling of each place, apart from each other, from what it reads and will read."""

import errno
import fnmatch
import glob
import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from .errors import PipelineError
from .inputs import Input, root_of


def where(path: str | Path) -> Path:
    """The one spelling of a target, without links and .. on the way to it. Raises PipelineError if it has no name, or
    one that is too long."""
    path = Path(path)
    if path.name in ("", ".."):
        raise PipelineError(f"{path} has no name that could be given to an output.")
    found = Path(os.path.realpath(path.parent)) / path.name
    try:
        os.lstat(partial(found))
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise PipelineError(f"{path} can't be written: {error.strerror}.") from None
    return found


def partial(path: Path) -> Path:
    """Where a target is written until it is done."""
    return path.with_name(f"{path.name}.partial")


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
    return [Path(os.path.realpath(each)) for each in (path, partial(path))]


def require_outside(
    targets: Sequence[Path], given: Sequence[str | Path], files: Sequence[Input], snapshot: Path
) -> None:
    """Raises PipelineError if a target is one of the files, or what was given would find it next time; or if it is in
    the folder of the snapshot, in which nothing else may be."""
    read = {(found.st_dev, found.st_ino) for found in (each.path.stat() for each in files)}
    for path in targets:
        place = Path(os.path.realpath(path))
        if place.is_relative_to(os.path.realpath(snapshot)):
            raise PipelineError(f"{path} is inside the snapshot {snapshot}, which would be a snapshot no more.")
        if path.exists() and (path.stat().st_dev, path.stat().st_ino) in read:
            raise PipelineError(f"{path} is one of the files that are filtered.")
        for each in given:
            if _finds(str(each), place):
                raise PipelineError(f"{path} is inside {each}, which is filtered: it would be filtered next time.")


def _finds(text: str, place: Path) -> bool:
    """Whether a folder or a pattern finds what is at this place, or a folder that it is in."""
    root, whole = root_of(text), Path(text)
    if whole == root:
        return root.is_dir() and place.is_relative_to(os.path.realpath(root))
    # By links too, and in folders that are still to be made.
    found = glob.glob(str(whole.parent), recursive=True)  # noqa: PTH207  a pattern may begin at the root
    ways = [*((Path(each), (whole.name,)) for each in found), (root, whole.parts[len(root.parts) :])]
    return any(leads_to(place, Path(os.path.realpath(folder)), pattern) for folder, pattern in ways)


def leads_to(place: Path, folder: Path, pattern: Sequence[str]) -> bool:
    """Whether a pattern finds, in this folder, what is at this place, or a folder that it is in."""
    inner = place.relative_to(folder).parts if place.is_relative_to(folder) else ()
    return any(_matches(inner[:n], pattern) for n in range(1, len(inner) + 1))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """As `glob` does: ** is any number of folders, and a name that begins with a dot is found by a dot alone."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        deeper = bool(parts) and not parts[0].startswith(".") and _matches(parts[1:], pattern)
        return deeper or _matches(parts, pattern[1:])
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def require_ended(targets: Iterable[Path], files: Sequence[Input]) -> None:
    """Raises PipelineError if what a run has written so far is among the files, as a pattern finds it when the run is
    resumed."""
    unfinished = [os.path.realpath(partial(path)) for path in targets]
    for each, folder in itertools.product(files, unfinished):
        if Path(os.path.realpath(each.path)).is_relative_to(folder):
            raise PipelineError(f"{each.path} is what a run has written that has not ended: filter without it.")
