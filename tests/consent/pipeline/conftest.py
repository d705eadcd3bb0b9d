"""A random world of consent, which the tests of the filter share, and files of its records."""

from pathlib import Path

import pytest

from consent.pipeline import Snapshot
from tests.support import record_files
from tests.support.consent_worlds import World, world
from tests.support.record_files import RECORDS


@pytest.fixture(scope="session")
def made() -> World:
    return world(3, RECORDS)


@pytest.fixture(scope="session")
def snapshot(made: World, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return record_files.snapshot_of(made, tmp_path_factory.mktemp("snapshots"))


@pytest.fixture
def data(made: World, tmp_path: Path) -> Path:
    """Three files of 200 records, each in a folder."""
    for n in range(3):
        source = tmp_path / "data" / f"day={n}" / "part.parquet"
        source.parent.mkdir(parents=True)
        record_files.parquet(made, source, rows=slice(n * 200, (n + 1) * 200))
    return tmp_path / "data"
