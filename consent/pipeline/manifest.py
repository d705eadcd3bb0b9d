"""The manifest of a snapshot: what it says, and whether the files are those that it names. Needs no pyarrow."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from . import signed
from .digests import sha256_of
from .errors import PipelineError

FORMAT = 1
PREDICATE = "/consent-snapshot/v1"  # after the portal's address
MANIFEST = "manifest.json"
ORGANIZATIONS, MEMBERS, EXTERNAL_IDS = "organizations", "members", "external_ids"
TABLES = (ORGANIZATIONS, MEMBERS, EXTERNAL_IDS)

_NAME = re.compile(rf"({'|'.join(TABLES)})-(\d{{3,6}})\.parquet")
_PRODUCT = re.compile("[a-z][a-z0-9_]{0,39}")  # it becomes part of column names


# --- The catalogue --------------------------------------------------------------------------------------------------


class Product(NamedTuple):
    """What the pipeline has to know of a product: its kinds of data, whether members choose, days of cooling-off."""

    data_kinds: tuple[str, ...]
    members: bool
    cooling_off_days: int = 0


Catalogue = Mapping[str, Product]


def catalogue_data(catalogue: Catalogue) -> dict[str, Any]:
    """The catalogue as it stands in a manifest."""
    products = {name: {**each._asdict(), "data_kinds": list(each.data_kinds)} for name, each in catalogue.items()}
    return {"products": products}


def parse_catalogue(data: Any) -> dict[str, Product]:
    """The inverse of `catalogue_data`. Raises PipelineError for anything that does not look like one."""
    try:
        found = {name: _product(name, **each) for name, each in data["products"].items()}
    except (TypeError, KeyError, AttributeError, ValueError):
        found = {}
    if not found:
        raise PipelineError("The catalogue in the manifest is none that this version knows.")
    return found


def _product(name: str, *, data_kinds: Any, members: Any, cooling_off_days: Any) -> Product:
    whole = type(cooling_off_days) is int and cooling_off_days >= 0
    texts = isinstance(data_kinds, list) and all(isinstance(kind, str) for kind in data_kinds)
    if not (_PRODUCT.fullmatch(name) and whole and texts and isinstance(members, bool)):
        raise ValueError(name)
    return Product(tuple(data_kinds), members, cooling_off_days)


def folder_name(position: int) -> str:
    """The name of a snapshot's folder: positions as text are in their order."""
    return f"position-{position:019d}"


# --- The manifest ---------------------------------------------------------------------------------------------------


class SnapshotFile(NamedTuple):
    """A file as the manifest describes it; `sha256` in hexadecimal, `size` in bytes."""

    name: str
    table: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a verified manifest says; `decided_at` in microseconds since 1970 UTC, `sha256` that of the manifest."""

    position: int
    decided_at: int
    catalogue: Catalogue
    files: tuple[SnapshotFile, ...]
    sha256: str

    @classmethod
    def read(cls, folder: Path, key: Ed25519PublicKey) -> Self:
        """The manifest in a folder. Raises PipelineError if there is none, or it is not signed by `key`."""
        path = folder / MANIFEST
        statement, sha256 = signed.read(path, key, PREDICATE, "a snapshot of consent")
        predicate = statement["predicate"]
        if predicate.get("format") != FORMAT:
            raise PipelineError(
                f"The snapshot {folder} has format {predicate.get('format')!r:.40}; this version reads format {FORMAT}."
            )
        files = _files(predicate, statement)
        if files is None:
            raise PipelineError(f"The manifest {path} does not describe its files as a snapshot's does.")
        catalogue = parse_catalogue(predicate.get("catalogue"))
        return cls(predicate["position"], predicate["decided_at"], catalogue, files, sha256)

    @property
    def decided(self) -> dt.datetime:
        """`decided_at` as an aware datetime."""
        return signed.instant(self.decided_at)

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return sum(file.rows for file in self.files if file.table == table)


def _files(predicate: Mapping[str, Any], statement: Mapping[str, Any]) -> tuple[SnapshotFile, ...] | None:
    """The files, if position, instant and files are as a snapshot's manifest has them; else None."""
    try:
        files = tuple(SnapshotFile(**each) for each in predicate["files"])
        whole = [predicate["position"], predicate["decided_at"], *(n for file in files for n in (file.rows, file.size))]
        subjects = [(each["name"], each["digest"]["sha256"]) for each in statement["subject"]]
        names = [_NAME.fullmatch(file.name) for file in files]
    except (KeyError, TypeError):
        return None
    sound = (
        all(type(number) is int for number in whole)
        and predicate["position"] >= 0
        and subjects == [(file.name, file.sha256) for file in files]
        and all(name and name[1] == file.table for name, file in zip(names, files, strict=True))
        and len({file.name for file in files}) == len(files)
        and {file.table for file in files} == set(TABLES)
        and all(file.rows >= 0 for file in files)
    )
    return files if sound else None


def check_size(path: Path, file: SnapshotFile) -> None:
    """Raises PipelineError unless the file is there with the manifest's number of bytes."""
    if path.is_symlink() or not path.is_file():
        raise PipelineError(f"The file {path} of the snapshot is missing.")
    if path.stat().st_size != file.size:
        raise PipelineError(f"The file {path} has {path.stat().st_size} bytes, and {file.size} in the manifest.")


def check_bytes(path: Path, file: SnapshotFile) -> None:
    """Raises PipelineError unless the file is there with exactly the manifest's bytes, OSError if it can't be read."""
    check_size(path, file)
    if sha256_of(path) != file.sha256:
        raise PipelineError(f"The file {path} was altered: its SHA-256 is not that of the manifest.")
