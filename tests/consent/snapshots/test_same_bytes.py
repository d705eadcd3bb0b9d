"""The files of one position are the same bytes: at any time, and on both databases."""

import uuid
from pathlib import Path
from typing import Any

import pytest

from accounts.fields import from_micros
from accounts.models import Binding, Member, Organization
from consent import ledger
from consent.models import ConsentEvent
from consent.pipeline import Snapshot
from consent.pipeline.errors import PipelineError
from consent.services import erasure, members, organizations
from consent.snapshots.exporting import export_snapshot
from tests.support import snapshots
from tests.support.cast import Cast
from tests.support.factories import UserFactory
from tests.support.snapshots import NOON, VERIFY_KEY

ACME, BETA, ANNA, BERT = (uuid.UUID(f"0190a1b2-c3d4-7{n:03}-8000-0123456789ab") for n in (17, 2, 4, 3))
SETTLED = {"kind": "subscription.started", "reason_code": "plan_default", "allowed": True, "subscribed": True}


def test_export__of_one_position__same_files_after_more_events(cast: Cast, tmp_path: Path) -> None:
    first = export_snapshot(tmp_path / "first")
    organizations.close_organization(organization=cast.labs, reason="x", actor=cast.provider, source="admin")
    second = export_snapshot(tmp_path / "second", first.position)
    assert [file.sha256 for file in second.written.files] == [file.sha256 for file in first.written.files]
    for file in first.written.files:
        assert (first.written.folder / file.name).read_bytes() == (second.written.folder / file.name).read_bytes()
    assert second.decided_at >= first.decided_at and not second.written.renewed


def test_export__external_id_erased_since__in_no_snapshot_any_more_and_nothing_else_differs(
    cast: Cast, tmp_path: Path
) -> None:
    """What names a person is gone, from what is told of the past too."""
    members.update_member(member=cast.labs_member, external_id=cast.member.email, actor=cast.provider, source="admin")
    first = export_snapshot(tmp_path / "first")
    erasure.erase_person(person=cast.member, actor=cast.provider)
    second = export_snapshot(tmp_path / "second", first.position)
    rows = [dict(each.rows) for each in (first, second)]
    assert [each.pop("external_ids") for each in rows] == [1, 0] and rows[0] == rows[1]
    kept = [[file for file in each.written.files if file.table != "external_ids"] for each in (first, second)]
    assert kept[0] == kept[1]
    with pytest.raises(PipelineError, match="is another snapshot"):
        export_snapshot(tmp_path / "first", first.position)


def _event(at: int, **more: Any) -> ConsentEvent:
    return ConsentEvent(
        **{"recorded_at": from_micros(at), "actor_type": "system", "source": "admin", "reason_code": ""} | more
    )


def _store() -> None:
    """Two organizations, a member each, and external ids of all of them, with their events."""
    for pk, kind, n in ((ACME, "team", 0), (BETA, "personal", 1)):
        instants = {"created_at": from_micros(NOON + n), "changed_at": from_micros(NOON + n)}
        Organization.objects.create(pk=pk, name="Name", kind=kind, **instants)
    user = UserFactory()
    joined = {"joined_at": from_micros(NOON + 5), "changed_at": from_micros(NOON + 5)}
    Member.objects.create(pk=ANNA, organization_id=BETA, user=user, role="owner", **joined)
    left = {"left_at": from_micros(NOON + 9), "status": "left"}
    Member.objects.create(pk=BERT, organization_id=ACME, user=user, role="member", **joined, **left)
    names = (("é-1", ACME, None), ("Z", BETA, None), ("a", ACME, BERT), ("a", BETA, None))
    for value, organization, member in names:
        at = from_micros(NOON + (5 if member else organization == BETA))
        number = {"value": value, "recorded_at": at, "since": at}
        Binding.objects.create(organization_id=organization, member_id=member, **number)
    of_member = {"kind": "member.joined", "since": from_micros(NOON + 5), "reason_code": "default", "allowed": True}
    ConsentEvent.objects.bulk_create(
        [
            _event(NOON, organization_id=ACME, kind="organization.created", after="team"),
            _event(NOON + 1, organization_id=BETA, kind="organization.created", after="personal"),
            _event(NOON + 5, organization_id=BETA, member_id=ANNA, **of_member),
            _event(NOON + 5, organization_id=ACME, member_id=BERT, **of_member),
            _event(NOON + 6, organization_id=ACME, product="le_chat", **SETTLED, since=from_micros(NOON + 6)),
            _event(NOON + 9, organization_id=ACME, member_id=BERT, **{**of_member, "kind": "member.left"}),
        ]
    )
    ledger.sequence()


def _rows() -> dict[str, list[dict[str, Any]]]:
    """The same, as the tables of a snapshot have it."""
    start = {"ai_studio_allowed": False, "ai_studio_reason": "no_subscription"}
    none = {"le_chat_allowed": False, "le_chat_reason": "no_subscription"}
    plan = {"le_chat_allowed": True, "le_chat_reason": "plan_default", "le_chat_since": NOON + 6}
    free = {"le_chat_allowed": True, "le_chat_reason": "default", "joined_at": NOON + 5}
    organization, member = {"level": "organization"}, {"level": "member"}
    return {
        "organizations": [
            {"organization": ACME, "personal": False, "created_at": NOON, **plan, **start},
            {"organization": BETA, "personal": True, "owner": ANNA, "created_at": NOON + 1, **none, **start},
        ],
        "members": [
            {"member": ANNA, "organization": BETA, **free},
            {"member": BERT, "organization": ACME, "left_at": NOON + 9, **free},
        ],
        "external_ids": [
            {"external_id": "é-1", "organization": ACME, "bound_at": NOON, **organization},
            {"external_id": "Z", "organization": BETA, "bound_at": NOON + 1, **organization},
            {"external_id": "a", "organization": BETA, "bound_at": NOON + 1, **organization},
            {"external_id": "a", "organization": ACME, "member": BERT, "bound_at": NOON + 5, **member},
        ],
    }


@pytest.mark.django_db
def test_export__fixed_ids_and_instants__same_files_as_written_without_a_database(tmp_path: Path) -> None:
    _store()
    done = export_snapshot(tmp_path / "exported")
    written = snapshots.write(tmp_path / "written", **_rows(), position=done.position)
    for table in ("organizations", "members", "external_ids"):
        name = f"{table}-000.parquet"
        assert (done.written.folder / name).read_bytes() == (written / name).read_bytes(), table
    assert Snapshot.open(done.written.folder, VERIFY_KEY).files == Snapshot.open(written, VERIFY_KEY).files
