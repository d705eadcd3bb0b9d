"""Flags that SQLite would read as true in one statement and as false in another: nothing may rest on them."""

from pathlib import Path

import pytest

from consent import ledger, verification
from consent.pipeline.errors import PipelineError
from consent.services import choices
from consent.snapshots.exporting import export_snapshot
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import ALL_SCOPES, by_key
from tests.support.cast import Cast
from tests.support.ledger_guards import behind_the_guards, sql

# PostgreSQL takes no other values.
pytestmark = [pytest.mark.django_db, pytest.mark.only_on("sqlite")]


@pytest.fixture(autouse=True)
def opted_out(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", actor=cast.provider, source="admin"
    )


def two(table: str, column: str) -> None:
    """As the owner of the file would: past the triggers, and past the constraints."""
    with behind_the_guards():
        sql("PRAGMA ignore_check_constraints = 1")
        sql(f"UPDATE {table} SET {column} = 2")
        sql("PRAGMA ignore_check_constraints = 0")


@pytest.mark.parametrize("column", ["allowed", "locked", "closed", "subscribed", "by_operator"])
def test_verify__event_with_a_flag_of_two__named(column: str) -> None:
    two("consent_consentevent", column)
    assert any("has a flag that is neither true nor false" in each for each in verification.verify().problems)


def test_verify__setting_with_a_flag_of_two__named() -> None:
    two("consent_privacysetting", "allowed")
    assert any("has a flag that is neither true nor false" in each for each in verification.verify().problems)


@pytest.mark.parametrize("at", [False, True], ids=["now", "as of now"])
def test_decision__opt_out_with_a_flag_of_two__never_a_yes(at: bool, cast: Cast) -> None:
    for table in ("consent_consentevent", "consent_privacysetting"):
        two(table, "allowed")
    caller = by_key(*ALL_SCOPES)
    body = {"organization": str(cast.labs.pk), "member": str(cast.labs_member.pk), "product": "le_chat"}
    if at:
        body["at"] = ledger.clock().isoformat()
    (batch,) = caller.post("decisions/batch/", {"items": [body]}).json()["decisions"]
    for found in (caller.post("decisions/", body).json(), caller.post("decisions/?explain=true", body).json(), batch):
        assert (found["allowed"], found["reason"]) == (False, "organization_opted_out")


def test_snapshot__opt_out_with_a_flag_of_two__none_instead_of_one_that_allows(tmp_path: Path) -> None:
    two("consent_consentevent", "allowed")
    with pytest.raises(PipelineError, match="neither true nor false"):
        export_snapshot(tmp_path / "snapshot")
    assert list(tmp_path.rglob("*.json")) == []
