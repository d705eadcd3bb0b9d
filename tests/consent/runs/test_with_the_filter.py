"""From a random history to a model that forgets: snapshot, filter, run, removals, and filtering its data again."""

import datetime as dt
import json
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accounts.models import Member
from consent.models import TrainingRun
from consent.pipeline import Snapshot, filter_records
from consent.pipeline.report import FilterReport
from consent.services import removal_entries, removal_files, removals, runs
from consent.snapshots.exporting import export_snapshot
from tests.support.histories import History
from tests.support.snapshots import VERIFY_KEY

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[3]
KINDS = {"le_chat": "conversation", "ai_studio": "api_input"}
RECIPE = re.search(r"```sql\n(WITH latest.*?)```", (ROOT / "docs/pipeline.md").read_text(), re.DOTALL)
AGAIN = {"organization": "consent_organization", "member": "consent_member"}


def taken(history: History, folder: Path) -> Snapshot:
    history.cut()
    return Snapshot.open(export_snapshot(folder).written.folder, VERIFY_KEY)


def write_records(history: History, path: Path, number: int) -> None:
    chance = random.Random(f"{history.seed} {path.name}")  # noqa: S311
    rows = []
    for n in range(number):
        organization = chance.choice(history.organizations)
        people = Member.objects.filter(organization=organization).order_by("pk").values_list("pk", flat=True)
        product = chance.choice(list(KINDS))
        at = chance.choice(chance.choice([history.instants(organization=organization), history.instants()[-60:]]))
        member = chance.choice([None, *people])
        rows.append((f"{path.stem}-{n}", str(organization.pk), member and str(member), product, KINDS[product], at))
    names = ("id", "organization", "member", "product", "data_kind", "collected_at")
    kinds = [*[pa.string()] * 5, pa.timestamp("us", "UTC")]
    columns = zip(zip(*rows, strict=True), kinds, strict=True)
    pq.write_table(pa.table([pa.array(column, kind) for column, kind in columns], list(names)), path)


def filtered(path: Path, snapshot: Snapshot, out: Path) -> tuple[Path, FilterReport]:
    report = filter_records(path, snapshot=snapshot, allowed=out / path.name, columns={"id": "id"})
    return out / path.name, report


def ids(*paths: Path) -> set[str]:
    return {name for path in paths for name in pq.read_table(path, columns=["id"])["id"].to_pylist()}


def applied(data: Path, entries: Any, folder: Path) -> set[str]:
    """The ids that are left after applying entries as docs/pipeline.md says."""
    with (folder / "removals.parquet").open("wb") as out:
        removal_files.write_parquet(entries, out)
    assert RECIPE is not None
    text = RECIPE[1].replace("removals.parquet", str(folder / "removals.parquet"))
    text = text.replace("allowed/*.parquet", f"{data}/*.parquet")
    return {name for (name,) in duckdb.sql(f"SELECT id FROM ({text})").fetchall()}


@pytest.mark.django_db
@pytest.mark.parametrize("seed", range(4))
def test_removals__of_filtered_data__leave_what_filtering_it_again_allows(seed: int, tmp_path: Path) -> None:
    history, data = History(seed + 50), tmp_path / "allowed"
    data.mkdir()
    history.steps(8)
    reports = []
    # Two files of one run, filtered by different snapshots.
    for name in ("a", "b"):
        path = tmp_path / f"{name}.parquet"
        write_records(history, path, 500)
        reports.append(filtered(path, taken(history, tmp_path / f"snapshots-{name}"), data)[1])
        history.steps(8)
    run = runs.register(
        name="R", reports=[json.loads(each.json()) for each in reports], actor=history.operator, source="api"
    ).run
    assert run.allowed == len(ids(*data.iterdir())) > 40
    history.steps(12)
    snapshot = taken(history, tmp_path / "snapshots-end")
    within = removals.range_of(run)
    assert within.until == snapshot.position
    left = applied(data, removal_entries.entries_of(within), tmp_path)
    again = tmp_path / "again"
    report = filter_records(sorted(data.iterdir()), snapshot=snapshot, allowed=again, columns=AGAIN)
    assert left == ids(*again.iterdir())
    assert report.allowed < run.allowed, "nothing had to go"


@pytest.mark.django_db
def test_run__filtered_again_after_a_removal__is_acknowledged_and_verified(tmp_path: Path) -> None:
    history, data = History(77), tmp_path / "allowed"
    data.mkdir()
    history.steps(8)
    path = tmp_path / "a.parquet"
    write_records(history, path, 400)
    kept, report = filtered(path, taken(history, tmp_path / "first"), data)
    run: TrainingRun = runs.register(
        name="R", reports=[json.loads(report.json())], actor=history.operator, source="api"
    ).run
    history.steps(15)
    batch = removals.issue(run=run, actor=history.operator, source="api")
    assert batch is not None
    snapshot = taken(history, tmp_path / "second")
    clean = filter_records(kept, snapshot=snapshot, allowed=tmp_path / "clean.parquet", columns=AGAIN)
    proof = filter_records(tmp_path / "clean.parquet", snapshot=snapshot, allowed=tmp_path / "p.parquet", columns=AGAIN)
    assert (proof.read, proof.denied) == (clean.allowed, 0)
    said = removals.acknowledge(
        batch=batch, removed=clean.denied, report=json.loads(proof.json()), actor=history.operator, source="api"
    )
    assert said.verified and said.acknowledged_at - batch.issued_at < dt.timedelta(days=1)
