"""SHA-256 of files and of JSON: what manifests and reports name data by."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_DESCRIBED = ("name", "rows", "sha256", "size")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """The one spelling of a JSON value: keys in order, no spaces, UTF-8. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def dataset_digest(files: Iterable[Mapping[str, Any]]) -> str:
    """The SHA-256 that names a dataset: of its files' names, rows, digests and sizes, whatever their order.

    Each file has the keys `name`, `rows`, `sha256` and `size`; others are passed over.
    """
    described = [{key: file[key] for key in _DESCRIBED} for file in files]
    return hashlib.sha256(canonical_json(sorted(described, key=lambda file: str(file["name"])))).hexdigest()
