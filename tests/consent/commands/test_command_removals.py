import csv
import gzip
import hashlib
import io
import json
import stat
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from consent.models import ConsentEvent, TrainingRun
from consent.services import choices, removal_entries, removals
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Actor, Cast
from tests.support.commands import ACTOR, database, run
from tests.support.training import register


@pytest.fixture
def made(cast: Cast) -> TrainingRun:
    """With two removals: of a member, then of the organization."""
    made = register(actor=cast.provider, external_id="exp-12")
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out",
        actor=Actor.from_user(cast.member, confirmed=True), source="data_controls",
    )  # fmt: skip
    assert removals.issue(run=made, actor=cast.provider, source="api")
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )
    assert removals.issue(run=made, actor=cast.provider, source="api")
    return made


def entries(made: TrainingRun) -> list[dict[str, Any]]:
    return [entry.as_json() for entry in removal_entries.entries_of(removals.range_of(made))]


@pytest.mark.parametrize("ident", ["{run.pk}", "external:exp-12"])
def test_removals__of_a_run__are_lines_on_stdout_and_noted(made: TrainingRun, ident: str) -> None:
    done = run("removals", ident.format(run=made), *ACTOR)
    assert done.code == 0 and "2 entries of R-77." in done.err
    assert [json.loads(line) for line in done.out.splitlines()] == entries(made)
    event = ConsentEvent.objects.latest("pk")
    assert (event.kind, event.after, event.target) == ("access.data_exported", "removals", str(made.pk))


def test_removals__one_of_them__is_what_its_digest_says(made: TrainingRun, tmp_path: Path) -> None:
    first, second = made.batches.order_by("number")
    for batch in (first, second):
        out = tmp_path / f"{batch.number}.jsonl"
        assert run("removals", str(made.pk), "--batch", str(batch.number), "--out", str(out), *ACTOR).code == 0
        assert hashlib.sha256(out.read_bytes()).hexdigest() == batch.digest
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert json.loads((tmp_path / "1.jsonl").read_text())["reason"] == "member_opted_out"


def test_removals__as_parquet__have_the_types_of_snapshots(made: TrainingRun, tmp_path: Path) -> None:
    out = tmp_path / "removals.parquet"
    assert run("removals", str(made.pk), "--format", "parquet", "--out", str(out), *ACTOR).code == 0
    table = pq.read_table(out)
    assert [str(field.type) for field in table.schema] == [
        "string", "extension<arrow.uuid>", "extension<arrow.uuid>", "string", "int64", "int64", "string", "int64",
    ]  # fmt: skip
    rows = [{name: str(v) if name in ("organization", "member") and v else v for name, v in row.items()}
            for row in table.to_pylist()]  # fmt: skip
    assert rows == entries(made)


def test_removals__as_csv__are_the_same_packed_too(made: TrainingRun, tmp_path: Path) -> None:
    out = tmp_path / "removals.csv.gz"
    assert run("removals", str(made.pk), "--format", "csv", "--plain", "--out", str(out), *ACTOR).code == 0
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(out.read_bytes()).decode())))
    expected = [{name: "" if v is None else str(v) for name, v in entry.items()} for entry in entries(made)]
    assert rows == expected
    piped = run("removals", str(made.pk), "--format", "csv", *ACTOR)
    assert list(csv.DictReader(io.StringIO(piped.out))) == expected


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("nonsense",), 1, "There is no such training run"),
        (("external:other",), 1, "There is no such training run"),
        (("external:exp-12", "--batch", "3"), 2, "the run has no removal 3"),
        (("external:exp-12", "--format", "parquet"), 2, "needs a file"),
        (("external:exp-12", "--format", "parquet", "--out", "x.gz"), 2, "needs a file"),
    ],
)
def test_removals__what_cannot_be__is_refused(made: TrainingRun, argv: tuple[str, ...], code: int, words: str) -> None:
    before = database()
    done = run("removals", *argv, *ACTOR)
    assert (done.code, done.out) == (code, "") and words in done.err
    assert database() == before


def test_removals__file_is_there__stays_as_it_is(made: TrainingRun, tmp_path: Path) -> None:
    out = tmp_path / "removals.jsonl"
    out.write_text("mine")
    done = run("removals", str(made.pk), "--out", str(out), *ACTOR)
    assert done.code == 1 and "--force replaces it" in done.err and out.read_text() == "mine"
