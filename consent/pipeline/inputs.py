"""The files of records: which there are, and whether all of them have the columns that were named, of one type.

Every file is looked at before the first is filtered. Globs and folders are expanded once.
"""

import glob
import re
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from .errors import PipelineError


class Format(StrEnum):
    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


_SUFFIXES = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_KNOWN = ".parquet, .jsonl or .csv; the latter two also .gz or .zst"
_PARTITION = re.compile(r"([A-Za-z_]\w*)=(.*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Stamp:
    """By what a change of a file is seen without reading it."""

    size: int
    modified: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Raises PipelineError if the file is not there."""
        try:
            found = path.stat()
        except OSError as error:
            raise PipelineError(f"{path} can't be read: {error.strerror}.") from None
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Input:
    """A file of records. `name`: its path below what was given, with /; `partitions`: what folders named k=v say."""

    path: Path
    name: str
    format: Format
    compression: str | None
    stamp: Stamp
    partitions: dict[str, str | None] = field(default_factory=dict)

    def require_unchanged(self) -> None:
        """Raises PipelineError if the file is not the one that was there at the start."""
        if Stamp.of(self.path) != self.stamp:
            raise PipelineError(f"{self.path} has changed while it was filtered: filter it again.", 70)


def format_of(path: Path | PurePosixPath) -> tuple[Format, str | None] | None:
    """The format and the compression that a file's name says; None: no format of records."""
    suffix, packed = path.suffix.lower(), None
    if suffix in _PACKED:
        packed, suffix = _PACKED[suffix], Path(path.stem).suffix.lower()
    found = _SUFFIXES.get(suffix)
    if found is None or (found is Format.PARQUET and packed):
        return None
    return found, packed


def find(given: Sequence[str | Path]) -> list[Input]:
    """The files of these paths, folders and globs, each once, in the order of their names.

    Raises PipelineError: nothing is there, a file is of no known format, formats differ, two have the same name.
    """
    inputs = [each for text in given for each in _found(str(text))]
    if not inputs:
        raise PipelineError("There are no files to filter.")
    by_name: dict[str, Input] = {}
    for each in inputs:
        other = by_name.setdefault(each.name, each)
        if other.path != each.path:
            raise PipelineError(f"{other.path} and {each.path} would be written to the same file {each.name}.")
    formats = sorted({each.format.value for each in inputs})
    if len(formats) > 1:
        raise PipelineError(f"The files are of several formats, {' and '.join(formats)}: filter each by itself.")
    return [by_name[name] for name in sorted(by_name)]


def _found(text: str) -> list[Input]:
    try:
        return list(_expand(text))
    except OSError as error:  # a name that no file can have, or a folder that may not be read
        raise PipelineError(f"{text} can't be read: {error.strerror}.") from None


def _expand(text: str) -> Iterable[Input]:
    path = Path(text)
    if path.is_dir():
        return _files_of(path)
    if path.exists() or not glob.has_magic(text):
        return [_input(path, path.name)]
    found = [Path(each) for each in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207  a pattern may begin at the root
    if not found:
        raise PipelineError(f"No file is named like {text}.")
    root = root_of(text)  # after which names begin
    return [
        each
        for one in found
        for each in (_files_of(one, root) if one.is_dir() else [_input(one, one.relative_to(root).as_posix())])
    ]


def root_of(text: str) -> Path:
    """The file or folder that was given; of a pattern the last folder without one."""
    path = Path(text)
    if not glob.has_magic(text) or path.exists():
        return path
    first = next(n for n, part in enumerate(path.parts) if glob.has_magic(part))
    return Path(*path.parts[:first])


def _files_of(folder: Path, root: Path | None = None) -> Iterable[Input]:
    """The files in a folder, at any depth. Names that begin with _ or . are passed over, as Spark and Hive do.

    Raises PipelineError for anything else that is no file, so that none of the records is left out unnoticed.
    """
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if any(part.startswith(("_", ".")) for part in inner.parts):
            continue
        if path.is_symlink() and path.is_dir():
            raise PipelineError(f"{path} is a link to a folder, which is not followed: give that folder by itself.")
        if not path.is_dir():
            yield _input(path, path.relative_to(root or folder).as_posix())


def _input(path: Path, name: str) -> Input:
    if path.exists() and not path.is_file():
        raise PipelineError(f"{path} is not a file.")
    if not _is_plain(name):
        raise PipelineError(f"{str(path)!a} can't be filtered: it is hidden, or its name is no text.")
    stamp = Stamp.of(path)
    known = format_of(path)
    if known is None:
        raise PipelineError(f"{path} is of no format of records: its name ends in {_KNOWN}.")
    return Input(path, name, *known, stamp, _partitions(name))


def _is_plain(name: str) -> bool:
    """Whether reports and manifests can say the name, where bytes that are no UTF-8 are lone surrogates, and it is none
    that a run needs itself, which all begin with a dot."""
    hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
    return not hidden and not any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name)


def _partitions(name: str) -> dict[str, str | None]:
    """What the folders of a name like `product=le_chat/part-0.parquet` say of every record in the file."""
    found = (_PARTITION.fullmatch(part) for part in PurePosixPath(name).parts[:-1])
    values = {match[1]: urllib.parse.unquote(match[2]) for match in found if match}
    return {key: None if value == _NO_VALUE else value for key, value in values.items()}
