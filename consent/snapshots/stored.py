"""The snapshots in SNAPSHOT_DIR, from which the API gives them out; those alone that are complete and signed by us."""

import functools
import logging
from pathlib import Path
from typing import BinaryIO, NamedTuple

from django.conf import settings

from accounts.access import Actor, NotFound, Permission, require

from .. import manifests
from ..pipeline.digests import sha256_of
from ..pipeline.errors import PipelineError
from ..pipeline.manifest import MANIFEST, Manifest, check_size, folder_name
from ..witness import quarantine

logger = logging.getLogger(__name__)
_FOLDERS = "position-*"


class Stored(NamedTuple):
    """A snapshot's folder, and what its manifest says."""

    folder: Path
    manifest: Manifest


class Content(NamedTuple):
    """A file to give out: open, with its size in bytes and its SHA-256 in hexadecimal."""

    file: BinaryIO
    size: int
    sha256: str


def list_snapshots(actor: Actor) -> list[Stored]:
    """All snapshots, the highest position first. What is incomplete or altered is left out, and logged.

    Raises Forbidden, Unavailable.
    """
    require(actor, Permission.PIPELINE_READ, None)
    quarantine.require_whole()
    if not settings.SNAPSHOT_DIR:
        return []
    found = [_stored(folder) for folder in sorted(Path(settings.SNAPSHOT_DIR).glob(_FOLDERS), reverse=True)]
    return [each for each in found if each is not None]


def get_snapshot(actor: Actor, position: int) -> Stored:
    """The snapshot at a position. Raises Forbidden, NotFound, Unavailable."""
    require(actor, Permission.PIPELINE_READ, None)
    quarantine.require_whole()
    folder = Path(settings.SNAPSHOT_DIR, folder_name(position))
    found = _stored(folder) if settings.SNAPSHOT_DIR and position < 2**63 and folder.is_dir() else None
    if found is None:
        raise NotFound("snapshot")
    return found


def open_file(snapshot: Stored, name: str) -> Content:
    """Open a snapshot's manifest, or a file that it names and whose bytes are still those. Raises NotFound."""
    named = {file.name: file.sha256 for file in snapshot.manifest.files} | {MANIFEST: snapshot.manifest.sha256}
    if name not in named:
        raise NotFound("file")
    path = snapshot.folder / name
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound("file") from error
    size = path.stat().st_size
    if _digest(path, size, path.stat().st_mtime_ns) != named[name]:
        file.close()
        logger.warning("%s is not what its manifest says", path)
        raise NotFound("file")
    return Content(file, size, named[name])


def _stored(folder: Path) -> Stored | None:
    try:
        manifest = Manifest.read(folder, manifests.signing_key().public_key())
        if folder.name != folder_name(manifest.position):
            raise PipelineError(f"{folder} is of position {manifest.position}.")
        for file in manifest.files:
            check_size(folder / file.name, file)
    except (PipelineError, OSError) as error:
        logger.warning("not given out: %s", error)
        return None
    return Stored(folder, manifest)


@functools.lru_cache(maxsize=4096)
def _digest(path: Path, _size: int, _changed: int) -> str:
    """The SHA-256 of a file, read once as long as it does not change."""
    return sha256_of(path)
