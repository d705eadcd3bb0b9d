"""Opening a snapshot: complete and unaltered, or refused with a sentence that names what is wrong."""

import datetime as dt
import json
import stat
import uuid

import duckdb
import pyarrow.parquet as pq
import pytest

from consent.pipeline import Snapshot, dsse, schema, writing
from consent.pipeline.digests import sha256_of
from consent.pipeline.errors import PipelineError
from tests.support import snapshots
from tests.support.snapshots import CATALOGUE, KEY, NOON, OTHER_KEY, VERIFY_KEY

ACME, BETA, ANNA = (uuid.UUID(int=n) for n in (1, 2, 3))
LAYER = {"le_chat_allowed": True, "le_chat_reason": "plan_default", "le_chat_since": NOON}
STUDIO = {"ai_studio_allowed": False, "ai_studio_reason": "no_subscription"}
ORGANIZATION = {"organization": ACME, "personal": False, "created_at": NOON, **LAYER, **STUDIO}
MEMBER = {"member": ANNA, "organization": ACME, "joined_at": NOON, "le_chat_allowed": True, "le_chat_reason": "default"}
NAMED = {"external_id": "acme", "level": "organization", "organization": ACME, "bound_at": NOON}


@pytest.fixture
def folder(tmp_path):
    second = {**ORGANIZATION, "organization": BETA, "personal": True, "owner": ANNA}
    return snapshots.write(
        tmp_path, organizations=[second, ORGANIZATION], members=[MEMBER], external_ids=[NAMED], position=7
    )


def _refused(folder, told, **options):
    with pytest.raises(PipelineError, match=told) as refused:
        Snapshot.open(folder, **{"verify_key": VERIFY_KEY, **options})
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


def _signed_anew(folder, change, subjects=True):
    """The manifest with changes, signed by the right key: what only the checks of its content can find."""
    manifest = folder / schema.MANIFEST
    statement = dsse.verify(manifest.read_bytes(), KEY.public_key())
    predicate = statement["predicate"]
    change(predicate)
    files = [{"name": each["name"], "sha256": each["sha256"]} for each in predicate["files"]]
    if not subjects:
        files = files[1:]
    manifest.write_bytes(dsse.sign(dsse.statement(statement["predicateType"], predicate, files), KEY))


def test_open__complete_snapshot__what_the_manifest_says(folder):
    found = Snapshot.open(folder, VERIFY_KEY)
    assert folder.name == "position-0000000000000000007"
    assert (found.position, found.decided_at, found.catalogue) == (7, NOON, dict(sorted(CATALOGUE.items())))
    assert found.decided == dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    assert found.manifest_sha256 == sha256_of(folder / "manifest.json")
    assert {table: found.rows(table) for table in schema.TABLES} == {
        "organizations": 2, "members": 1, "external_ids": 1
    }  # fmt: skip
    rows = pq.read_table(found.paths("organizations")[0]).to_pylist()
    assert [row["organization"] for row in rows] == [ACME, BETA]
    assert rows[0]["ai_studio_since"] is None and rows[1]["owner"] == ANNA


def test_snapshot__duckdb__ids_are_uuids(folder):
    path = Snapshot.open(folder, VERIFY_KEY).paths("members")[0]
    read = duckdb.sql(f"SELECT typeof(member), member_id = member::text FROM read_parquet('{path}')").fetchall()
    assert read == [("UUID", True)]


def test_snapshot__files_and_folder__for_their_owner_alone(folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_snapshot__same_rows_twice__same_bytes(tmp_path):
    both = [snapshots.write(tmp_path / name, organizations=[ORGANIZATION]) for name in "ab"]
    for file in both[0].iterdir():
        assert file.read_bytes() == (both[1] / file.name).read_bytes()


def test_open__other_key__refused(folder):
    _refused(folder, "does not hold", verify_key=dsse.public_text(OTHER_KEY))


def test_open__no_manifest__refused(folder):
    (folder / "manifest.json").unlink()
    _refused(folder, "manifest.json can't be read: No such file")


def test_open__manifest_unsigned__refused(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "signatures": []}))
    _refused(folder, "of nobody")


@pytest.mark.parametrize("table", schema.TABLES)
def test_open__file_missing__refused(folder, table):
    (folder / f"{table}-000.parquet").unlink()
    _refused(folder, f"{table}-000.parquet of the snapshot is missing")


@pytest.mark.parametrize("table", schema.TABLES)
def test_open__one_byte_altered__refused(folder, table):
    file = folder / f"{table}-000.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    _refused(folder, f"{table}-000.parquet was altered")


def test_open__file_cut__refused(folder):
    file = folder / "members-000.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    _refused(folder, "bytes, and")


def test_open__a_file_more__refused(folder):
    (folder / "members-001.parquet").write_bytes((folder / "members-000.parquet").read_bytes())
    _refused(folder, "members-001.parquet is not in the manifest")


def test_open__link_to_the_same_bytes__refused(folder, tmp_path):
    file = folder / "members-000.parquet"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    _refused(folder, "is missing")


def test_open__max_age__by_the_instant_of_the_state(folder):
    decided = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    day = dt.timedelta(days=1)
    assert Snapshot.open(folder, VERIFY_KEY, day, now=decided + day).position == 7
    _refused(folder, "older than 1 day", max_age=day, now=decided + day + dt.timedelta(microseconds=1))


def test_open__max_age__of_an_instant_to_come__refused_beyond_what_clocks_may_differ(folder):
    decided = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
    day, ahead = dt.timedelta(days=1), dt.timedelta(minutes=5)
    assert Snapshot.open(folder, VERIFY_KEY, day, now=decided - ahead).position == 7
    _refused(folder, "still to come", max_age=day, now=decided - ahead - dt.timedelta(microseconds=1))


def _renamed(predicate):
    predicate["files"][0]["name"] = "../organizations-000.parquet"


def _extra_table(predicate):
    predicate["files"].append({**predicate["files"][0], "table": "plans", "name": "plans-000.parquet"})


def _table_missing(predicate):
    del predicate["files"][0]


def _rows(predicate):
    predicate["files"][0]["rows"] = 3


def _negative(predicate):
    predicate["position"] = -1


def _text(predicate):
    predicate["decided_at"] = "yesterday"


def _format(predicate):
    predicate["format"] = 2


def _another_product(predicate):
    predicate["catalogue"]["products"]["new"] = {"data_kinds": ["x"], "members": False, "cooling_off_days": 0}


def _no_members(predicate):
    predicate["catalogue"]["products"]["le_chat"]["members"] = False


def _no_days(predicate):
    del predicate["catalogue"]["products"]["le_chat"]["cooling_off_days"]


def _name_is_sql(predicate):
    products = predicate["catalogue"]["products"]
    products['le_chat" --'] = products.pop("le_chat")


def _no_products(predicate):
    predicate["catalogue"] = {"products": {}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_renamed, "does not describe its files"),
        (_extra_table, "does not describe its files"),
        (_table_missing, "does not describe its files"),
        (_negative, "does not describe its files"),
        (_text, "does not describe its files"),
        (_rows, "has 2 rows, and 3"),
        (_format, "has format 2"),
        (_another_product, "columns of"),
        (_no_members, "columns of"),
        (_no_days, "catalogue"),
        (_name_is_sql, "catalogue"),
        (_no_products, "catalogue"),
    ],
)
def test_open__signed_but_wrong__refused(folder, change, told):
    _signed_anew(folder, change)
    _refused(folder, told)


def test_open__subjects_are_other_files__refused(folder):
    _signed_anew(folder, lambda predicate: None, subjects=False)
    _refused(folder, "does not describe its files")


def test_open__statement_of_something_else__refused(folder):
    statement = dsse.statement("https://portal.example/training-run/v1", {}, [])
    (folder / "manifest.json").write_bytes(dsse.sign(statement, KEY))
    _refused(folder, "not of a snapshot")


# --- Writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 25])
def test_write_table__batches_of_any_size__files_and_groups_cut_alike(tmp_path, size):
    columns = schema.schemas(CATALOGUE)["external_ids"]
    rows = [{**NAMED, "external_id": f"{n:03d}"} for n in range(25)]
    batches = [snapshots.batch(rows[start : start + size], columns) for start in range(0, 25, size)]
    files = list(writing.write_table(tmp_path, "external_ids", columns, batches, rows_per_file=10, rows_per_group=4))
    assert [(file.name, file.rows) for file in files] == [
        ("external_ids-000.parquet", 10), ("external_ids-001.parquet", 10), ("external_ids-002.parquet", 5)
    ]  # fmt: skip
    groups = []
    for file in files:
        metadata = pq.read_metadata(tmp_path / file.name)
        groups.append([metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)])
    assert groups == [[4, 4, 2], [4, 4, 2], [4, 1]]
    read = [row["external_id"] for file in files for row in pq.read_table(tmp_path / file.name).to_pylist()]
    assert read == [row["external_id"] for row in rows]


def test_write_snapshot__rows_fail_midway__nothing_is_left(tmp_path):
    def rows():
        yield snapshots.batch([ORGANIZATION], schema.schemas(CATALOGUE)["organizations"])
        raise OSError(28, "No space left on device")

    tables = {"organizations": rows(), "members": [], "external_ids": []}
    with pytest.raises(OSError, match="No space"):
        writing.write_snapshot(
            tmp_path, tables, position=1, decided_at=NOON, catalogue=CATALOGUE, origin=snapshots.ORIGIN, key=KEY
        )
    assert list(tmp_path.iterdir()) == []


def test_write_snapshot__another_one_is_there__refused_and_unchanged(folder):
    before = sha256_of(folder / "manifest.json")
    with pytest.raises(PipelineError, match="is another snapshot"):
        snapshots.write(folder.parent, organizations=[ORGANIZATION], position=7, decided_at=NOON + 1)
    assert sha256_of(folder / "manifest.json") == before
    assert list(folder.parent.iterdir()) == [folder]


def test_write_snapshot__something_else_is_there__refused_and_unchanged(folder):
    (folder / "members-000.parquet").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"members-000\.parquet has 0 bytes"):
        snapshots.write(folder.parent, organizations=[ORGANIZATION], position=7)
    assert list(folder.parent.iterdir()) == [folder]


def test_write_snapshot__the_same_is_there__has_the_later_instant(tmp_path):
    first = snapshots.write(tmp_path, organizations=[ORGANIZATION])
    before = Snapshot.open(first, VERIFY_KEY)
    assert snapshots.write(tmp_path, organizations=[ORGANIZATION], decided_at=NOON + 5) == first
    after = Snapshot.open(first, VERIFY_KEY)
    assert (after.decided_at, after.files) == (NOON + 5, before.files)
    assert list(tmp_path.iterdir()) == [first]
