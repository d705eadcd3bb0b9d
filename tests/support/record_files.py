"""Files of records of a random world, in each format, and what the filter wrote read back."""

import contextlib
import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from consent.pipeline import Options, Snapshot, filter_records
from consent.pipeline.report import FilterReport

from . import snapshots
from .consent_worlds import Row, World, instant

RECORDS = 600  # of a world that many tests share
COLUMNS = "organization=acct,member=usr,data_kind=kind,collected_at=ts,id=rid"


def snapshot_of(made: World, folder: Path) -> Snapshot:
    """The world's consent as a signed snapshot. A withdrawn name is in none."""
    live = [row for row in made.external_ids if row["released_at"] is None]
    path = snapshots.write(
        folder, organizations=made.organizations, members=made.members, external_ids=live,
        decided_at=made.decided_at, catalogue=made.catalogue,
    )  # fmt: skip
    return Snapshot.open(path, snapshots.VERIFY_KEY)


def plain(made: World, *, external: bool = False) -> list[Row]:
    """The records as people would write them: ids and instants as text."""
    return [
        {
            "rid": f"r{n}",
            "acct": row["organization_name"] if external else str(row["organization"]),
            "usr": row["member_name"] if external else row["member"] and str(row["member"]),
            "product": row["product"],
            "kind": row["data_kind"],
            "ts": row["collected_at"] and instant(row["collected_at"]).isoformat(timespec="microseconds"),
            "content": f'“{n}”, "quoted"\nand long ' + "x" * (n % 50),
        }
        for n, row in enumerate(made.records)
    ]


def parquet(made: World, path: Path, *, rows: slice = slice(None), group: int = 1_000) -> Path:
    """Records with UUIDs as UUIDs and instants as instants."""
    records, texts = made.records[rows], plain(made)[rows]
    columns = {
        "rid": pa.array([row["rid"] for row in texts]),
        "acct": uuids([row["organization"] for row in records]),
        "usr": uuids([row["member"] for row in records]),
        "product": pa.array([row["product"] for row in records], pa.string()),
        "kind": pa.array([row["data_kind"] for row in records], pa.string()),
        "ts": pa.array([row["collected_at"] for row in records], pa.timestamp("us", "UTC")),
        "content": pa.array([row["content"] for row in texts]),
        "scores": pa.array([[n, n / 2] for n in range(len(texts))], pa.list_(pa.float32())),
    }
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def uuids(values: Sequence[Any]) -> pa.Array:
    raw = pa.array([value and value.bytes for value in values], pa.binary(16))
    return pa.ExtensionArray.from_storage(pa.uuid(), raw)


def text_file(rows: Sequence[Row], path: Path) -> Path:
    """CSV or JSON Lines, packed or not, as the name says."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    if ".csv" in path.name:
        lines = _csv(rows)
    data = "".join(lines).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    elif path.suffix == ".zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path.write_bytes(data)
    return path


def _csv(rows: Sequence[Row]) -> list[str]:
    class Lines(list):
        write = list.append

    lines = Lines()
    writer = csv.DictWriter(lines, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return lines


def read(path: Path) -> list[Row]:
    """The rows of a file that the filter wrote, or of all files in a folder."""
    if path.is_dir():
        return [row for each in sorted(path.rglob("*")) if each.is_file() for row in read(each)]
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with pa.input_stream(str(path)) as stream:
        text = stream.read().decode()
    if ".csv" in path.name:
        return list(csv.DictReader(text.splitlines(keepends=True)))
    return [json.loads(line) for line in text.splitlines()]


def run(
    inputs: Any, snapshot: Snapshot, folder: Path, *, name: str = "", **given: Any
) -> tuple[FilterReport, Path, Path]:
    """Filter to `allowed…` and `denied…` in this folder, with full reasons unless told otherwise."""
    options = {"full_reasons": True, "max_unknown": 1.0, **given.pop("options", {})}
    allowed, denied = folder / f"allowed{name}", folder / f"denied{name}"
    report = filter_records(
        inputs, snapshot=snapshot, allowed=allowed, options=Options(**options),
        **{"denied": denied, "columns": COLUMNS, "report": folder / f"report{name}.json", **given},
    )  # fmt: skip
    return report, allowed, denied


def given(snapshot: Snapshot, folder: Path, **more: Any) -> dict[str, Any]:
    """Arguments of `filter_records` beside its inputs: everything goes to this folder."""
    places = {what: folder / what for what in ("allowed", "denied")}
    return {"snapshot": snapshot, "columns": COLUMNS, "report": folder / "report.json", **places, **more}


def stop_after(files: int, inputs: Any, **arguments: Any) -> None:
    """Begin to filter, and stop as if by Ctrl+C when so many files are done."""

    def progress(done: int, _all: int) -> None:
        if done == files:
            raise _Stopped

    with contextlib.suppress(_Stopped):
        filter_records(inputs, **arguments, progress=progress)
        raise AssertionError("it was not stopped")


class _Stopped(Exception):
    pass
