"""The gate opens the files of a run's manifest as they are, and nothing else."""

import datetime as dt
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from consent.pipeline import dsse, open_allowed
from consent.pipeline.errors import PipelineError
from consent.pipeline.gate import check
from tests.support import snapshots
from tests.support.snapshots import NOON, VERIFY_KEY

ROOT = Path(__file__).parents[3]
RUN = "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f"
SNAPSHOT = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
NOW = SNAPSHOT + dt.timedelta(days=1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two files, one of them in a folder below."""
    folder = tmp_path / "allowed"
    (folder / "eu").mkdir(parents=True)
    for name, first in (("part-0.parquet", 0), ("eu/part-0.parquet", 10)):
        pq.write_table(pa.table({"id": list(range(first, first + 5))}), folder / name)
    return folder


def described(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "name": path.relative_to(folder).as_posix(),
            "rows": 5,
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "position": 41,
        }
        for path in sorted(folder.rglob("*.parquet"))
    ]


def seal(folder: Path, key: Any = snapshots.KEY, kind: str = "training-run/v1", **changes: Any) -> Path:
    """The manifest of a run of these files, beside them."""
    files = described(folder)
    predicate = {"run": {"id": RUN}, "snapshots": [{"decided_at": NOON}, {"decided_at": NOON + 9}], "files": files}
    statement = dsse.statement(f"https://portal.example/{kind}", predicate | changes, files)
    path = folder.parent / "run.json"
    path.write_bytes(dsse.sign(statement, key))
    return path


def removal(state: str = "open", **changes: Any) -> dict[str, Any]:
    return {"run": RUN, "number": 1, "state": state, "due_at": "2026-01-07T00:00:00Z"} | changes


def opened(data: Path, manifest: Path, **options: Any) -> list[int]:
    found = open_allowed(manifest, data, verify_key=VERIFY_KEY, now=NOW, **options)
    return sorted(found.to_table()["id"].to_pylist())


def test_open__what_was_sealed__is_one_dataset(data: Path) -> None:
    manifest = seal(data)
    assert opened(data, manifest) == [*range(5), *range(10, 15)]
    fine = [removal("acknowledged", due_at="2026-01-01T00:00:00Z"), removal(number=2)]
    assert opened(data, manifest, removals=fine, max_age=dt.timedelta(days=1)) == [*range(5), *range(10, 15)]
    assert check(manifest, data / "part-0.parquet", verify_key=VERIFY_KEY) == [data / "part-0.parquet"]


def test_open__files_that_only_look_the_same__are_refused_by_name(data: Path) -> None:
    manifest = seal(data)
    (data / "more.parquet").write_bytes((data / "part-0.parquet").read_bytes())
    with pytest.raises(PipelineError, match=r"more\.parquet is not sealed"):
        opened(data, manifest)
    (data / "more.parquet").unlink()
    (data / "_SUCCESS").touch()
    with pytest.raises(PipelineError, match="_SUCCESS is not sealed"):
        opened(data, manifest)


@pytest.mark.parametrize("grown", [False, True])
def test_open__altered_after_it_was_opened_once__is_refused(data: Path, grown: bool) -> None:
    manifest = seal(data)
    assert opened(data, manifest)
    path = data / "eu" / "part-0.parquet"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(bytes(content) + b"x" * grown)
    with pytest.raises(PipelineError, match="was altered"):
        opened(data, manifest)


def test_open__swapped_names__are_refused(data: Path) -> None:
    manifest = seal(data)
    shutil.copy(data / "part-0.parquet", data / "eu" / "part-0.parquet")
    with pytest.raises(PipelineError, match="was altered"):
        opened(data, manifest)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"key": snapshots.OTHER_KEY}, "signature"),
        ({"kind": "consent-snapshot/v1"}, "not of a training run"),
        ({"files": []}, "not of a training run"),
        ({"snapshots": []}, "not of a training run"),
        ({"snapshots": [{"decided_at": "yesterday"}]}, "not of a training run"),
        ({"run": {}}, "not of a training run"),
    ],
)
def test_open__manifest_that_says_something_else__refused(data: Path, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PipelineError, match=named):
        opened(data, seal(data, **changes))


@pytest.mark.parametrize(
    ("removals", "named"),
    [
        ([removal("overdue")], "overdue"),
        ([removal(due_at="2026-01-06T11:59:59Z")], "overdue"),
        ([removal(number=2), removal("retired")], "given up"),
        ([removal("mislaid")], "given up"),
        ([removal(run="0190b5d2-7c1e-7a40-9f3e-000000000000")], "another run"),
        ([{"state": "acknowledged"}], "not as the API"),
        ([removal(due_at="2026-01-07T00:00:00")], "not as the API"),
    ],
)
def test_open__removal_that_is_not_done__refused(data: Path, removals: list[dict[str, Any]], named: str) -> None:
    manifest = seal(data)
    with pytest.raises(PipelineError, match=named):
        opened(data, manifest, removals=removals)
    answer = data.parent / "removals.json"
    answer.write_text(json.dumps({"results": removals, "next": None}), "utf-8")
    with pytest.raises(PipelineError, match=named):
        opened(data, manifest, removals=answer)


def test_open__snapshots_too_old_or_nothing_there__refused(data: Path) -> None:
    manifest = seal(data)
    with pytest.raises(PipelineError, match="older than 23:59:59"):
        opened(data, manifest, max_age=dt.timedelta(days=1, seconds=-1))
    with pytest.raises(PipelineError, match="no file"):
        open_allowed(manifest, [], verify_key=VERIFY_KEY)
    with pytest.raises(PipelineError, match="can't be read"):
        open_allowed(manifest, data / "part-0.parquet", verify_key=VERIFY_KEY, removals=data / "none.json")
    for text in (
        '{"results": [], "next": "https://portal.example/2"}',
        '{"results": {}, "next": null}',
        "[1]",
        "{}",
        "x",
        "[" * 100_000,
    ):
        (data.parent / "removals.json").write_text(text, "utf-8")
        with pytest.raises(PipelineError, match=r"all of them|no list of removals|not as the API"):
            opened(data, manifest, removals=data.parent / "removals.json")
    (data / "part-0.parquet").unlink()
    with pytest.raises(PipelineError, match="can't be read"):
        open_allowed(manifest, data / "part-0.parquet", verify_key=VERIFY_KEY)


@pytest.mark.parametrize("ahead", [299, 301])
def test_open__one_of_the_snapshots_of_an_instant_to_come__refused_beyond_what_clocks_may_differ(
    data: Path, ahead: int
) -> None:
    manifest = seal(data, snapshots=[{"decided_at": NOON}, {"decided_at": NOON + ahead * 1_000_000}])
    options: dict[str, Any] = {"verify_key": VERIFY_KEY, "max_age": dt.timedelta(days=1), "now": SNAPSHOT}
    if ahead > 300:
        with pytest.raises(PipelineError, match="still to come"):
            check(manifest, data, **options)
    else:
        assert len(check(manifest, data, **options)) == 2


def test_command__verify__says_whether_they_may_be_used(data: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "consent.pipeline",
        "verify",
        str(seal(data)),
        str(data),
        "--verify-key",
        VERIFY_KEY,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 files are as the manifest says, and may be used.\n")
    (data / "part-0.parquet").write_bytes(b"other")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "part-0.parquet was altered" in done.stderr and "Traceback" not in done.stderr
