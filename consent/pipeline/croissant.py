"""Describes what a run allowed in Croissant 1.0 (JSON-LD): its files, its columns, and the consent it rests on.

Written by hand, so that nobody needs `mlcroissant` to filter; tests read it with that.
"""

import glob
import itertools
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import texts
from .columns import INSTANT, OWNERS, ZONE
from .errors import PipelineError, missing
from .inputs import Format, Input, Stamp, format_of
from .report import FilterReport
from .signed import instant

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise missing(error) from None

_SAMPLE = 1_000  # lines of JSON whose values tell the types
_MEDIA = {
    Format.PARQUET: "application/x-parquet",
    Format.JSONL: "application/jsonlines",
    Format.CSV: "text/csv",
    Format.TSV: "text/tab-separated-values",
}
_PACKED = {"gzip": "application/gzip", "zstd": "application/zstd"}
_TEXT, _INTEGER, _FLOAT, _BOOLEAN, _INSTANT = "sc:Text", "sc:Integer", "sc:Float", "sc:Boolean", "sc:DateTime"
_ARROW: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (pa.types.is_boolean, _BOOLEAN),
    (pa.types.is_integer, _INTEGER),
    (pa.types.is_floating, _FLOAT),
    (pa.types.is_decimal, _FLOAT),
    (pa.types.is_timestamp, _INSTANT),
    (pa.types.is_date, "sc:Date"),
    (pa.types.is_time, "sc:Time"),
    (pa.types.is_string, _TEXT),
    (pa.types.is_large_string, _TEXT),
)
_JSON = {str: _TEXT, int: _INTEGER, float: _FLOAT, bool: _BOOLEAN}
_CR, _RAI, _SC = "http://mlcommons.org/croissant/", "http://mlcommons.org/croissant/RAI/", "https://schema.org/"
# As the specification prints it.
_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": _SC,
    "sc": _SC,
    "cr": _CR,
    "rai": _RAI,
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}


class Described(NamedTuple):
    """A file that was written: as the report has it, where it is now, and where it will be."""

    entry: dict[str, Any]
    path: Path
    final: Path

    def read(self) -> Input:
        """The file as one of records."""
        found = format_of(self.final)
        if found is None:  # outputs are named as their inputs are
            raise PipelineError(f"{self.final} is of no format of records.", 70)
        return Input(self.path, self.final.name, *found, Stamp.of(self.path))


class _Type(NamedTuple):
    """What a column holds, in Croissant's words. `repeated`: a list of these."""

    name: str
    repeated: bool = False


# Column → its type; None: Croissant has no word for it, or files differ.
_Columns = dict[str, _Type | None]


def require_above(target: Path, allowed: Path) -> None:
    """Raises PipelineError if a description is not in a folder above what it describes: readers look for files below
    it, by relative names, and the whole folder can be moved."""
    folder, place = (Path(os.path.realpath(path)) for path in (target.parent, allowed))
    if any("\ud800" <= letter <= "\udfff" for letter in str(place)):
        raise PipelineError(f"{str(allowed)!a} can't be described: its name is no text.")
    if not place.is_relative_to(folder):
        raise PipelineError(f"{target} describes files below its own folder: put it beside {allowed}, or above.")


def describe(report: FilterReport, files: Sequence[Described], target: Path, allowed: Path) -> bytes:
    """The description, to be written to `target`, of the files that are allowed; the licence is left to their owner.

    The same report gives the same bytes. Raises OSError or ArrowException if a file can't be read.
    """
    folder = Path(os.path.realpath(target.parent))

    def relative(path: Path) -> str:
        return Path(os.path.realpath(path)).relative_to(folder).as_posix()

    objects = [_file_object(each, relative(each.final)) for each in files]
    source: dict[str, Any] = {"fileObject": {"@id": objects[0]["@id"]}}
    distribution = objects
    if len(objects) > 1:
        source = {"fileSet": {"@id": "files"}}
        pattern = f"{glob.escape(relative(allowed))}/*"
        media = objects[0]["encodingFormat"]
        distribution = [
            {"@type": "cr:FileSet", "@id": "files", "name": "files", "encodingFormat": media, "includes": pattern},
            *objects,
        ]
    columns = _columns(files)
    described: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": allowed.name,
        "version": f"{report.snapshot['position']}.0.0",
        "conformsTo": [f"{_CR}1.0", f"{_RAI}1.0"],
        **_consent(report),
        "distribution": distribution,
        "recordSet": [_record_set(columns, source)] if any(columns.values()) else [],
    }
    return json.dumps(described, indent=2, ensure_ascii=False).encode() + b"\n"


def _consent(report: FilterReport) -> dict[str, Any]:
    """What is said about people: in words, where the extension for responsible AI has a place for them."""
    position, decided = report.snapshot["position"], instant(report.snapshot["decided_at"]).isoformat()
    rests = f"the snapshot of consent at position {position} of the ledger, decided at {decided}"
    reasons = ", ".join(f"{rows} {reason}" for reason, rows in report.told_reasons().items()) or "none"
    return {
        "description": f"{report.allowed} records that may be used for training, by {rests}.",
        "isBasedOn": {
            "@type": "sc:Dataset",
            "name": "consent snapshot",
            "version": str(position),
            "dateModified": decided,
            "identifier": f"sha256:{report.snapshot['manifest_sha256']}",
        },
        "rai:dataCollection": (
            f"Records of those who allow their use for training ({', '.join(report.products) or 'of no product'}),"
            f" collected since they do, by {rests}."
        ),
        "rai:dataPreprocessingProtocol": (
            f"Filtered by {rests}: {report.read} records read, {report.allowed} allowed, {report.denied} denied"
            f" ({reasons})."
        ),
        "rai:personalSensitiveInformation": (
            f"The columns {' and '.join(OWNERS)} say whose a record is, by pseudonyms. What people wrote is as they"
            " wrote it: personal data may be in every column."
        ),
        "rai:dataReleaseMaintenancePlan": (
            "Consent can be withdrawn. Whoever uses these records applies the removals of the training run that they"
            " are registered for."
        ),
    }


def _file_object(each: Described, place: str) -> dict[str, Any]:
    found = each.read()
    media = _MEDIA[found.format]
    return {
        "@type": "cr:FileObject",
        "@id": urllib.parse.quote(place),
        "name": place,
        "contentUrl": place,
        "contentSize": f"{each.entry['size']} B",
        "encodingFormat": [media, _PACKED[found.compression]] if found.compression else media,
        "sha256": each.entry["sha256"],
    }


def _record_set(columns: _Columns, source: dict[str, Any]) -> dict[str, Any]:
    left_out = [name for name, kind in columns.items() if kind is None]
    described: dict[str, Any] = {"@type": "cr:RecordSet", "@id": "records", "name": "records"}
    if left_out:
        described["description"] = f"Without columns that Croissant has no type for: {', '.join(left_out)}."
    described["field"] = [
        {
            "@type": "cr:Field",
            "@id": f"records/{urllib.parse.quote(name, safe='')}",
            "name": name,
            "dataType": kind.name,
            **({"repeated": True} if kind.repeated else {}),
            "source": {**source, "extract": {"column": name}},
        }
        for name, kind in columns.items()
        if kind is not None
    ]
    return described


# --- Columns --------------------------------------------------------------------------------------------------------


def _columns(files: Sequence[Described]) -> _Columns:
    """The columns of all files, in the order in which they are met. JSON Lines have none: the first lines tell."""
    inputs = [each.read() for each in files]
    if inputs[0].format is Format.JSONL:
        lines = itertools.chain.from_iterable(map(texts.objects, inputs))
        return _of_lines(itertools.islice(lines, _SAMPLE))
    found: _Columns = {}
    for n, each in enumerate(inputs):
        parquet = each.format is Format.PARQUET
        columns = _of_parquet(each.path) if parquet else dict.fromkeys(texts.header(each), _Type(_TEXT))
        for name in {**found, **columns} if n else columns:
            found[name] = columns.get(name) if not n or columns.get(name) == found.get(name) else None
    return found


def _of_parquet(path: Path) -> _Columns:
    return {field.name: _of_arrow(field.type) for field in pq.read_schema(path)}


def _of_arrow(kind: pa.DataType) -> _Type | None:
    if pa.types.is_dictionary(kind):
        return _of_arrow(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _of_arrow(kind.value_type)
        return _Type(inner.name, repeated=True) if inner and not inner.repeated else None
    return next((_Type(name) for fits, name in _ARROW if fits(kind)), None)


def _of_lines(lines: Iterator[dict[str, Any]]) -> _Columns:
    met: dict[str, set[_Type | None]] = {}
    for line in lines:
        for name, value in line.items():
            types = met.setdefault(name, set())
            if value not in (None, []):
                types.add(_of_json(value))
    return {name: _widest(types) for name, types in met.items()}


def _widest(types: set[_Type | None]) -> _Type | None:
    """The type that all have: a number may be written 1 in one line and 1.5 in the next. Of nothing, nothing."""
    for narrow, wide in ((_INTEGER, _FLOAT), (_INSTANT, _TEXT)):
        if types == {_Type(narrow), _Type(wide)}:
            return _Type(wide)
    return next(iter(types)) if len(types) == 1 else None


def _of_json(value: Any) -> _Type | None:
    if isinstance(value, list):
        inner = {_JSON.get(type(each)) for each in value}
        (name,) = inner if len(inner) == 1 else (None,)
        return _Type(name, repeated=True) if name else None
    if isinstance(value, str) and re.fullmatch(INSTANT + ZONE, value):
        return _Type(_INSTANT)
    name = _JSON.get(type(value))
    return _Type(name) if name else None
