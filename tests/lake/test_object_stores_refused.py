"""What the filter refuses on an object store: one sentence that names the object and no secret; nothing is written."""

import importlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from tests.support.lineage import filtered
from tests.support.object_store import BUCKET, REPORT, THERE, Objects, Store, files


def refused(told: str, code: int, run: Callable[[], int], objects: Objects, capsys: pytest.CaptureFixture[str]) -> None:
    """The run is refused with one sentence, and leaves nothing anywhere that was not there."""
    before, local = objects(), files(".")
    assert run() == code
    written = capsys.readouterr()
    assert told in written.err and written.out == ""
    assert written.err.count("\n") == 1
    assert "key-of-nobody" not in written.err and "consent-filter-" not in written.err
    assert (objects(), files(".")) == (before, local)
    assert list(Path("tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("memory://lake/none", "memory://lake/none is not there: no such object, folder or bucket"),
        ("memory://lake/records/*.csv", "No file is named like memory://lake/records/*.csv"),
        ("memory://", "its name is not like that of a file"),
        ("memory://lake/a//b.parquet", "its name is not like that of a file"),
        ("memory://lake/../b.parquet", "its name is not like that of a file"),
        ("memory://la*/records", "memory://la*/records names no bucket"),
        ("memory://lake/other.txt", "memory://lake/other.txt is of no format of records"),
        ("s3://lake/records", "s3://lake/records is not of --filesystem memory: a run has one store"),
        ("--allowed memory://lake/there", "memory://lake/there is there already: nothing is overwritten"),
        ("--report memory://lake/there/x", "memory://lake/there/x is there already: nothing is overwritten"),
        ("--allowed memory://lake/records/new", "memory://lake/records/new is inside memory://lake/records"),
        ("--allowed memory://lake/denied", "Two outputs have the same name: memory://lake/denied"),
        ("--allowed memory://lake/denied/new", "memory://lake/denied/new is inside memory://lake/denied"),
        ("--croissant croissant.json", "croissant.json describes memory://lake/allowed"),
        ("--resume", "outputs on memory can't be resumed"),
        ("--columns member=who", "memory://lake/records/part-0.parquet has no column who"),
        ("--filesystem s4", "memory://lake/records is not of --filesystem s4"),
    ],
)
def test_filter__what_can_not_be__one_sentence_and_nothing_is_written(
    given: str, told: str, memory: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    there = [part.replace("s3", "memory") for part in (*THERE, *REPORT)]
    more, records = ([], [given]) if not given.startswith("--") else (given.split(" "), ["memory://lake/records"])
    refused(told, 2, lambda: filtered(*there, *more, records=records), memory, capsys)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("s3://nolake/records", "s3://nolake/records is not there: no such object, folder or bucket"),
        ("s3://lake/odd", "'s3://lake/odd//x.parquet' can't be filtered: its name is not like that of a file"),
        ("--allowed s3://nolake/allowed", "s3://nolake/allowed is not there"),
        ("--allowed s3://lake/odd", "s3://lake/odd is there already: nothing is overwritten"),
    ],
)
def test_store__has_no_such_bucket_or_name__one_sentence_and_nothing_is_written(
    given: str, told: str, store: Store, client: Any, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    client.put_object(Bucket=BUCKET, Key="odd//x.parquet", Body=b"-")
    more, records = ([], [given]) if not given.startswith("--") else (given.split(" "), ["s3://lake/records"])
    refused(told, 2, lambda: filtered(*THERE, *REPORT, *more, records=records), objects, capsys)


NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}


@pytest.mark.parametrize(
    ("settings", "asked", "code", "told"),
    [
        (NO_KEYS, None, 2, "can't be reached: there are no credentials for it"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, None, 2, "can't be reached: its endpoint does not answer"),
        ({}, ("GET", "list-type"), 2, "is refused: the credentials don't allow this, or are not valid"),
        ({}, ("GET", "/lake/records/part-1"), 1, "s3://lake/records/part-1.parquet is refused: the credentials"),
        ({}, ("POST", "/lake/allowed/part-0.parquet?uploads"), 1, "s3://lake/allowed/part-0.parquet is refused"),
        ({}, ("PUT", "/lake/report.json?partN"), 1, "s3://lake/report.json is refused: the credentials"),
        ({}, ("POST", "/lake/report.json?uploadId"), 1, "s3://lake/report.json is refused: the credentials"),
    ],
)
def test_store__refuses_or_is_down__one_sentence_without_secrets_and_nothing_is_written(
    settings: dict[str, str | None], asked: tuple[str, str] | None, code: int, told: str,
    store: Store, objects: Objects, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    if asked:
        store.before = lambda method, path: 403 if method == asked[0] and asked[1] in path else None
    if settings:
        S3FileSystem.clear_instance_cache()  # which has the credentials and the address of an earlier test
    run = lambda: filtered(*THERE, *REPORT, records=["s3://lake/records"])  # noqa: E731
    refused(told, code, run, objects, capsys)
    if settings:
        S3FileSystem.clear_instance_cache()


def test_library__of_the_store_not_installed__says_what_to_install(
    store: Store, objects: Objects, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    run = lambda: filtered(*THERE, records=["s3://lake/records"])  # noqa: E731
    refused("--filesystem s3 needs s3fs: pip install s3fs", 2, run, objects, capsys)


def test_disk__too_small_for_what_is_read__exit_1_before_it_is_fetched(
    memory: Objects, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    size = sum(path.stat().st_size for path in Path("records").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: type("Usage", (), {"free": size - 1}))
    run = lambda: filtered("--filesystem", "memory", records=["memory://lake/records"])  # noqa: E731
    refused(f"The files are {size:,} bytes", 1, run, memory, capsys)
