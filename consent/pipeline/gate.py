"""The gate before training: no file is opened that the signed manifest of a run does not name, as it is.

The files carry no signatures. What seals them is the manifest, which has the size and the SHA-256 of each; the signing
key stays with the portal.
"""

import datetime as dt
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import signed
from .digests import sha256_of
from .errors import PipelineError, missing
from .run_manifest import RunManifest, log_keys, require_checkpoint

try:
    import pyarrow.dataset as pads
except ImportError as error:
    raise missing(error) from None

ACKNOWLEDGED, OPEN = "acknowledged", "open"
_REMEMBERED = 100_000  # files whose digests are not computed again while size and mtime stay
_PARQUET = (".parquet", ".pq")


def open_allowed(
    manifest: str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    verify_key: str | Path | Ed25519PublicKey,
    removals: str | Path | Sequence[Mapping[str, Any]] = (),
    max_age: dt.timedelta | None = None,
    vkey: str | Sequence[str] = (),
    now: dt.datetime | None = None,
) -> pads.Dataset:
    """The Parquet files as one dataset of pyarrow, once each has been found in the manifest, unaltered.

    Arguments and errors as of `check`. Whoever may write to the files can alter them after that: keep them read-only.
    """
    found = check(manifest, paths, verify_key=verify_key, removals=removals, max_age=max_age, vkey=vkey, now=now)
    if other := next((path for path in found if path.suffix not in _PARQUET), None):
        raise PipelineError(f"{other} is no Parquet file: check() says whether it may be used, and you open it.")
    return pads.dataset([str(path) for path in found], format="parquet")


def check(
    manifest: str | Path,
    paths: str | Path | Sequence[str | Path],
    *,
    verify_key: str | Path | Ed25519PublicKey,
    removals: str | Path | Sequence[Mapping[str, Any]] = (),
    max_age: dt.timedelta | None = None,
    vkey: str | Sequence[str] = (),
    now: dt.datetime | None = None,
) -> list[Path]:
    """The files that may be used: all of `paths`, files and folders; a file in a folder is named by its way from there.

    `removals`: the run's removals, as `GET training-runs/{run}/removal-batches/` lists them, or a file with that
    answer. `max_age`: how old the oldest of the run's snapshots may be at `now` (the clock, by default). `vkey`: public
    keys of the portal's log; where one is given, the manifest has to carry a checkpoint of it.

    Raises PipelineError, which names the reason: a file that the manifest does not name, or that was altered; a
    snapshot older than `max_age` or of an instant to come; a removal that is overdue, or will never be done because
    the run is retired; a checkpoint that does not hold, or does not cover the run's position.
    """
    sealed = RunManifest.read(manifest, verify_key)
    if keys := log_keys(vkey):
        require_checkpoint(sealed, keys)
    moment = now or dt.datetime.now(dt.UTC)
    _require_age(sealed, max_age, moment)
    _require_removed(sealed, _removals(removals), moment)
    found = list(_named([paths] if isinstance(paths, str | Path) else paths))
    if not found:
        raise PipelineError("There is no file to open.")
    for name, path in found:
        _require_sealed(sealed, name, path)
    return [path for _name, path in found]


def _require_age(sealed: RunManifest, max_age: dt.timedelta | None, now: dt.datetime) -> None:
    if max_age is not None:
        for decided_at in sealed.decided_at:
            signed.require_age(decided_at, max_age, now, f"Run {sealed.run} was filtered by what held at")


def _removals(given: str | Path | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The removals, whichever way they came. Raises PipelineError for anything that is no such list."""
    if not isinstance(given, str | Path):
        return list(given)
    try:
        found = json.loads(Path(given).read_bytes())
        if isinstance(found, dict):
            if found["next"] is not None:
                raise PipelineError(f"{given} is one page of the removals: give all of them.")
            found = found["results"]
        if not isinstance(found, list):
            raise TypeError
        return found
    except OSError as error:
        raise PipelineError(f"The removals {given} can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PipelineError(f"{given} is no list of removals.") from None


def _require_removed(sealed: RunManifest, removals: Iterable[Mapping[str, Any]], now: dt.datetime) -> None:
    """Raises PipelineError for an overdue removal, and for one that can't be understood: doubt means no."""
    for each in removals:
        try:
            run, state, number = str(each["run"]), each["state"], each["number"]
            due = dt.datetime.fromisoformat(each["due_at"])
            done = state == ACKNOWLEDGED or (state == OPEN and due >= now)
        except (KeyError, TypeError, ValueError):
            raise PipelineError("One of the removals is not as the API gives them.") from None
        if run != sealed.run:
            raise PipelineError(f"Removal {number} is of another run, {run}: give those of {sealed.run}.")
        if not done:
            raise PipelineError(f"Removal {number} of run {run}, due at {due:%Y-%m-%d %H:%M}, is overdue or given up.")


def _named(paths: Iterable[str | Path]) -> Iterator[tuple[str, Path]]:
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                if not each.is_dir():
                    yield each.relative_to(path).as_posix(), each
        else:
            yield path.name, path


def _require_sealed(sealed: RunManifest, name: str, path: Path) -> None:
    said = sealed.files.get(name)
    if said is None:
        raise PipelineError(f"{path} is not sealed: the manifest of run {sealed.run} has no file {name}.")
    try:
        stat = path.stat()
        same = stat.st_size == said.size and _digest(path.absolute(), stat.st_size, stat.st_mtime_ns) == said.sha256
    except OSError as error:
        raise PipelineError(f"{path} can't be read: {error.strerror}.") from None
    if not same:
        raise PipelineError(f"{path} was altered: it is not the file that run {sealed.run} was registered with.")


@functools.lru_cache(_REMEMBERED)
def _digest(path: Path, _size: int, _mtime_ns: int) -> str:
    return sha256_of(path)
