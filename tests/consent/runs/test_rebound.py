"""An external id comes to mean another organization between a run's snapshot and its removals.

The records of the run stay with whoever was meant when they were filtered: what has to go follows the choice of that
organization.
"""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from accounts.models import Organization
from consent import ledger
from consent.jobs import actions
from consent.jobs.rebinding import Rebinding
from consent.pipeline import Snapshot, filter_records
from consent.services import choices, organizations, plans, removal_entries, removals, runs
from consent.services.organizations import OrganizationDraft
from consent.services.removal_entries import Entry
from consent.snapshots.exporting import export_snapshot
from consent.surfaces import AI_STUDIO_CONSOLE
from tests.support.jobs import OUT, Team
from tests.support.snapshots import VERIFY_KEY

pytestmark = [pytest.mark.thorough, pytest.mark.django_db]

BY_NAME = {"organization": "external:organization", "member": "@"}
BY_OWNER = {"organization": "consent_organization", "member": "@"}


@pytest.fixture
def team() -> Team:
    return Team()


def made(team: Team, external_id: str) -> Organization:
    draft = OrganizationDraft(
        name=f"Hall {external_id}", external_id=external_id, subscriptions=[plans.get_plan("ai_studio_experiment")]
    )
    return organizations.create_organization(draft=draft, actor=team.actor, source="admin")


def taken(folder: Path) -> Snapshot:
    ledger.sequence()
    return Snapshot.open(export_snapshot(folder).written.folder, VERIFY_KEY)


def write_records(path: Path, *names: str, at: dt.datetime) -> None:
    table = pa.table(
        {
            "organization": list(names),
            "product": ["ai_studio"] * len(names),
            "data_kind": ["api_input"] * len(names),
            "collected_at": pa.array([at] * len(names), pa.timestamp("us", "UTC")),
        }
    )
    pq.write_table(table, path)


def owners(path: Path) -> list[str]:
    return [str(each) for each in pq.read_table(path)["consent_organization"].to_pylist()]


def kept(data: Path, entries: list[Entry]) -> list[str]:
    nothing = {str(each.organization) for each in entries if each.product == "ai_studio" and each.keep_from is None}
    return [owner for owner in owners(data) if owner not in nothing]


@pytest.mark.parametrize("who_opts_out", ["nobody", "who had it", "who has it"])
def test_removals__id_rebound_since__follow_who_was_meant(team: Team, who_opts_out: str, tmp_path: Path) -> None:
    first, second = made(team, "acct-1"), made(team, "acct-2")
    collected = ledger.clock()
    write_records(tmp_path / "records.parquet", "acct-1", "acct-2", at=collected)
    data = tmp_path / "allowed.parquet"
    report = filter_records(
        tmp_path / "records.parquet", snapshot=taken(tmp_path / "one"), allowed=data, columns=BY_NAME
    )
    assert owners(data) == [str(first.pk), str(second.pk)]
    reports = [json.loads(report.json())]
    run = runs.register(name="R", reports=reports, actor=team.actor, source="api").run

    wish = Rebinding(1, "acct-1", str(second.pk), "")
    team.done(actions.preview_rebind(wishes=[wish], actor=team.actor, source="admin", reason="Merged"))
    opting = {"who had it": first, "who has it": second}.get(who_opts_out)
    if opting is not None:
        choices.choose(surface=AI_STUDIO_CONSOLE, organization=opting, choice=OUT, actor=team.actor, source="admin")

    later = taken(tmp_path / "two")
    entries = list(removal_entries.entries_of(removals.range_of(run)))
    left = [str(each.pk) for each in (first, second) if each != opting]
    assert kept(data, entries) == left
    filter_records(data, snapshot=later, allowed=tmp_path / "again.parquet", columns=BY_OWNER)
    assert owners(tmp_path / "again.parquet") == left
    # By its name, nobody is meant at the time of the record any more: the first one's is denied in any case.
    original = filter_records(
        tmp_path / "records.parquet", snapshot=later, allowed=tmp_path / "anew.parquet", columns=BY_NAME
    )
    assert original.allowed == (0 if opting == second else 1)
