"""An installation with a witness, and the cast in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from consent.witness import guard, keeper
from tests.support.cast import Cast
from tests.support.restoring import witness_all


@pytest.fixture
def witness(tmp_path: Path, settings: Any) -> Iterator[Path]:
    settings.WITNESS = [str(tmp_path / "witness.jsonl")]
    settings.WITNESS_CHECK_SECONDS = 0
    guard.forget(connection=connection)
    yield tmp_path / "witness.jsonl"
    guard.forget(connection=connection)


@pytest.fixture
def watched(transactional_db: None, cast: Cast, witness: Path) -> Cast:
    """The cast, all of whose events are witnessed."""
    assert keeper.keep() == ""  # as a worker does before all else
    witness_all()
    return cast
