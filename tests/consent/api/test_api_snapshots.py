"""Snapshots by the API: those of SNAPSHOT_DIR that are whole and signed by us, for operators and their keys alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from consent.pipeline import Snapshot
from tests.support import snapshots
from tests.support.callers import Caller, World, assert_problem
from tests.support.commands import run
from tests.support.keys import issue_key
from tests.support.snapshots import OTHER_KEY, VERIFY_KEY

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.SNAPSHOT_DIR = str(tmp_path)
    return tmp_path


def asked(world: World, path: str) -> Any:
    return world.callers["operator_key"]("GET", f"snapshots/{path}")


def test_snapshots__exported_here__listed_and_fetched_whole(world: World, folder: Path, tmp_path: Path) -> None:
    exported = run("export_snapshot", "--format", "json").json
    (found,) = asked(world, "").json()["results"]
    opened = Snapshot.open(exported["folder"], VERIFY_KEY)
    assert found == {
        "position": exported["position"], "decided_at": exported["decided_at"],
        "manifest_sha256": opened.manifest_sha256, "files": [file._asdict() for file in opened.files],
    }  # fmt: skip
    assert asked(world, f"{exported['position']}/").json() == found
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    for name in ("manifest.json", *(file["name"] for file in found["files"])):
        answer = asked(world, f"{exported['position']}/files/{name}")
        data = b"".join(answer.streaming_content)
        assert (answer.status_code, int(answer["Content-Length"])) == (200, len(data))
        assert answer["Cache-Control"] == "no-store"
        (fetched / name).write_bytes(data)
    assert Snapshot.open(fetched, VERIFY_KEY).files == opened.files


def test_snapshots__several__highest_position_first(world: World, folder: Path) -> None:
    for position in (2, 10, 0):
        snapshots.write(folder, position=position)
    assert [each["position"] for each in asked(world, "").json()["results"]] == [10, 2, 0]
    page = world.callers["operator_key"]("GET", "snapshots/?limit=2").json()
    assert [each["position"] for each in page["results"]] == [10, 2] and "cursor=2" in page["next"]


def _unsigned(path: Path) -> None:
    envelope = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**envelope, "signatures": []}))


def _file_missing(path: Path) -> None:
    (path / "members-000.parquet").unlink()


def _file_cut(path: Path) -> None:
    (path / "members-000.parquet").write_bytes(b"")


def _no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def _renamed(path: Path) -> None:
    path.rename(path.with_name("position-0000000000000000008"))


def _a_file(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.write_text("x")


@pytest.mark.parametrize("change", [_unsigned, _file_missing, _file_cut, _no_manifest, _renamed, _a_file])
def test_snapshots__not_whole_or_not_ours__as_if_absent(world: World, folder: Path, change: Any) -> None:
    change(snapshots.write(folder, position=7))
    snapshots.write(folder, position=1)
    assert [each["position"] for each in asked(world, "").json()["results"]] == [1]
    for position in (7, 8):
        assert_problem(asked(world, f"{position}/"), 404, "not_found")
        assert_problem(asked(world, f"{position}/files/manifest.json"), 404, "not_found")


def test_snapshots__signed_by_another_key__as_if_absent(world: World, folder: Path) -> None:
    snapshots.write(folder, position=7, key=OTHER_KEY)
    assert asked(world, "").json()["results"] == []
    assert_problem(asked(world, "7/"), 404, "not_found")


def test_file__altered__is_not_given_out_and_the_others_are(world: World, folder: Path) -> None:
    path = snapshots.write(folder, position=7)
    file = path / "members-000.parquet"
    data = bytearray(file.read_bytes())
    assert asked(world, "7/files/members-000.parquet").status_code == 200
    data[10] ^= 1
    file.write_bytes(data)
    assert_problem(asked(world, "7/files/members-000.parquet"), 404, "not_found")
    assert asked(world, "7/files/organizations-000.parquet").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "8/", "x/", "-1/", "+7/", "٧/", f"{2**63}/", f"{10**18}9/", f"{'9' * 5000}/", "7/files/secret",
        "7/files/members-001.parquet", "7/files/..", "7/files/%2e%2e", "7/files/..%2fposition-0000000000000000007",
    ],
)  # fmt: skip
def test_snapshot__no_such_position_or_file__404(world: World, folder: Path, path: str) -> None:
    made = snapshots.write(folder, position=7)
    (made / "secret").write_text("x")
    assert_problem(asked(world, path), 404, "not_found")


def test_file__any_accept__the_file_with_its_digest(world: World, folder: Path) -> None:
    snapshots.write(folder, position=7)
    for accept in ("application/vnd.apache.parquet", "application/json", "text/html", "*/*"):
        caller = world.callers["operator_key"]
        answer: Any = caller("GET", "snapshots/7/files/members-000.parquet", Accept=accept)
        data = b"".join(answer.streaming_content)
        assert (answer.status_code, answer["Content-Type"]) == (200, "application/vnd.apache.parquet")
        assert answer["Repr-Digest"].startswith("sha-256=:") and data[:4] == b"PAR1"
    manifest: Any = caller("GET", "snapshots/7/files/manifest.json")
    assert manifest["Content-Type"] == "application/json"
    sha256 = asked(world, "7/").json()["manifest_sha256"]
    assert hashlib.sha256(b"".join(manifest.streaming_content)).hexdigest() == sha256


@pytest.mark.parametrize("absent", ["", "/nowhere/at/all"])
def test_snapshots__no_folder__none(world: World, settings: Any, absent: str) -> None:
    settings.SNAPSHOT_DIR = absent
    assert asked(world, "").json() == {"results": [], "next": None}
    assert_problem(asked(world, "7/"), 404, "not_found")


def test_snapshots__no_signing_key__none(world: World, folder: Path, settings: Any) -> None:
    snapshots.write(folder, position=7)
    settings.MANIFEST_SIGNING_KEY = ""
    assert asked(world, "").json()["results"] == []


@pytest.mark.parametrize("scope", ["events:read", "consent:read", "decisions:read"])
@pytest.mark.parametrize("path", ["", "7/", "7/files/manifest.json", "8/", "7/files/x"])
def test_snapshots__key_without_the_scope__403_whatever_is_there(
    world: World, folder: Path, scope: str, path: str
) -> None:
    snapshots.write(folder, position=7)
    _key, text = issue_key("Reader", [scope])
    caller = Caller(Client(), {"Authorization": f"Bearer {text}"})
    assert_problem(caller("GET", f"snapshots/{path}"), 403, "forbidden")


def test_key__of_an_organization__never_has_the_scope(world: World) -> None:
    wanted = {"name": "x", "scopes": ["pipeline:read"], "organization": str(world.cast.labs.pk)}
    for who in ("owner", "operator"):
        assert_problem(world.callers[who]("POST", "api-keys/", wanted), 400, "operator_scope", "#/scopes")
