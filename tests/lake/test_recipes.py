"""The recipes of docs/pipeline.md do what it says, with the tools themselves; `make test-lake` runs this."""

import datetime as dt
import hashlib
import json
import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

os.environ |= {"HF_HUB_OFFLINE": "1", "MLFLOW_ALLOW_FILE_STORE": "true"}

from consent.pipeline import Snapshot, dsse, filter_records
from tests.support import snapshots
from tests.support.snapshots import NOON

ROOT = Path(__file__).parents[2]
PART = (ROOT / "docs" / "pipeline.md").read_text("utf-8").partition("## With other tools")[2]
HUGGING_FACE, DELTA, MLFLOW = re.findall(r"```python\n(.*?)```", PART, re.DOTALL)
DAY = 24 * 3600 * 1_000_000
TEAM, OTHER = (uuid.UUID(int=n) for n in (1, 2))
ADA, BO, CLEO = (uuid.UUID(int=n) for n in (11, 12, 13))
# How a removal is applied by hand: of several entries of a key the latest holds, and each has to let a record stay.
KEPT = """
    SELECT id FROM read_parquet('allowed/*.parquet') AS r WHERE NOT EXISTS (
        FROM (FROM read_json('entries.jsonl', columns={level: 'VARCHAR', organization: 'VARCHAR', member: 'VARCHAR',
                  product: 'VARCHAR', keep_from: 'BIGINT', keep_until: 'BIGINT', position: 'BIGINT'})
              QUALIFY row_number() OVER (PARTITION BY level, organization, member, product ORDER BY position DESC) = 1
        ) AS e
        WHERE e.product = r.product AND e.organization = r.consent_organization
            AND (e.level = 'organization' OR e.member = r.consent_member)
            AND (e.keep_from IS NULL OR epoch_us(r.collected_at) < e.keep_from
                 OR epoch_us(r.collected_at) >= e.keep_until))
    ORDER BY id"""


def entry(position: int, member: uuid.UUID | None = None, **changes: Any) -> dict[str, Any]:
    usual = {
        "level": "member" if member else "organization",
        "organization": str(TEAM),
        "member": member and str(member),
        "product": "le_chat",
        "keep_from": None,
        "keep_until": None,
        "reason": "member_opted_out",
        "position": position,
    }
    return usual | changes


ENTRIES = [
    entry(7, ADA),
    entry(9, ADA, keep_from=NOON - 4 * DAY, reason="collected_before_allowed"),
    entry(8, BO, keep_from=NOON - 9 * DAY, keep_until=NOON - 5 * DAY, reason="member_left"),
    entry(9, product="ai_studio", reason="organization_opted_out"),
]


def lake() -> None:
    """`allowed/`, filtered from records of two organizations, and the entries of a removal."""
    layers = {
        f"{product}_{name}": value
        for product in ("le_chat", "ai_studio")
        for name, value in (("allowed", True), ("reason", "organization_opted_in"), ("since", NOON - 9 * DAY))
    }
    organization = {"personal": False, "created_at": NOON - 9 * DAY, **layers}
    own = {"joined_at": NOON - 9 * DAY, "le_chat_allowed": True, "le_chat_reason": "default"}
    folder = snapshots.write(
        Path("snapshots"),
        organizations=[{"organization": each, **organization} for each in (TEAM, OTHER)],
        members=[
            {"member": member, "organization": of, **own} for member, of in ((ADA, TEAM), (BO, TEAM), (CLEO, OTHER))
        ],
    )
    rows = []
    for n in range(96):
        of, member = [(TEAM, ADA), (TEAM, BO), (OTHER, CLEO)][n % 3]
        product = ("le_chat", "le_chat", "le_chat", "ai_studio")[n // 3 % 4]
        rows.append(
            {
                "id": n,
                "organization": str(of),
                "member": str(member),
                "product": product,
                "data_kind": "document",
                "collected_at": dt.datetime.fromtimestamp(NOON // 1_000_000, dt.UTC) - dt.timedelta(days=n % 9),
            }
        )
    Path("records").mkdir()
    table = pa.Table.from_pylist(rows)
    for n in range(2):
        pq.write_table(table.slice(n * 48, 48), f"records/part-{n}.parquet")
    opened = Snapshot.open(folder, snapshots.VERIFY_KEY)
    assert filter_records("records", snapshot=opened, allowed="allowed").allowed == 96
    Path("entries.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ENTRIES), "utf-8")


Recipe = Callable[[str], dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    lake()

    def recipe(text: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(compile(text, "docs/pipeline.md", "exec"), names)  # noqa: S102  our own docs
        return names

    return recipe


def test_hugging_face__streams_every_allowed_record(run: Recipe) -> None:
    examples = list(run(HUGGING_FACE)["examples"])
    assert [each["id"] for each in examples] == list(range(96))
    assert {each["consent_organization"] for each in examples} == {str(TEAM), str(OTHER)}


def test_delta__keeps_what_the_entries_let_stay(run: Recipe) -> None:
    names = run(DELTA)
    left = sorted(names["DeltaTable"]("lake").to_pyarrow_table()["id"].to_pylist())
    expected = [pk for (pk,) in duckdb.sql(KEPT).fetchall()]
    assert left == expected and 40 < len(left) < 96


def test_mlflow__tags_lead_to_the_manifest(run: Recipe) -> None:
    run_id = str(uuid.uuid4())
    files = [{"name": f"part-{n}", "sha256": "0" * 64, "position": 40 + n} for n in range(2)]
    statement = dsse.statement("https://portal.example/training-run/v1", {"run": {"id": run_id}, "files": files}, files)
    Path("run.json").write_bytes(dsse.sign(statement, snapshots.KEY))
    names = run(MLFLOW)
    tags = names["mlflow"].last_active_run().data.tags
    assert tags["consent.run"] == run_id and tags["consent.position"] == "40"
    assert tags["consent.manifest_sha256"] == hashlib.sha256(Path("run.json").read_bytes()).hexdigest()
