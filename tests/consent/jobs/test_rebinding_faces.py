"""Rebinding by API, operators' site and command: previewed by one, approved by another, undone (R16)."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.models import Organization
from consent import verification
from consent.models import BulkJob
from consent.worker import work_once
from tests.support.callers import by_key, by_session
from tests.support.commands import database
from tests.support.jobs import Team
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def halls(team: Team) -> list[Organization]:
    """acct-1 and another."""
    found = team.organizations(2)
    from consent.services import organizations

    organizations.update_organization(organization=found[0], external_id="acct-1", actor=team.actor, source="admin")
    return found


def holder() -> Organization | None:
    return Organization.objects.identified_by("external:acct-1").first()


def body(hall: Organization, **more: Any) -> dict[str, Any]:
    return {"rebind": [{"external_id": "acct-1", "organization": str(hall.pk)}], "reason": "Merged"} | more


# --- API -------------------------------------------------------------------------------------------------------------


def test_api__previewed_run_approved_and_undone(team: Team, halls: list[Organization]) -> None:
    author, second = by_session(team.author), by_session(team.second)
    answer = author.post("bulk-jobs/", body(halls[1]))
    assert answer.status_code == 202, answer.content
    job = answer.json()
    assert (job["kind"], job["loosens"], job["changed"], job["reason"]) == ("rebind", True, 1, "Merged")
    (sample,) = job["sample"]
    assert (sample["external_id"], sample["before"], sample["after"]) == ("acct-1", "Hall 0", "Hall 1")
    assert holder() == halls[0]
    job = author.post("bulk-jobs/", {"dry_run": False, "digest": job["digest"]}).json()
    assert job["status"] == "awaiting_approval"
    path = f"bulk-jobs/{job['id']}/"
    assert author.post(f"{path}approve/", {}).status_code == 403
    assert holder() == halls[0]
    assert second.post(f"{path}approve/", {}).status_code == 200
    work_once()
    assert holder() == halls[1]
    (row,) = second.get(f"{path}rows/").json()["results"]
    told = {name: row[name] for name in ("organization", "member", "external_id", "before", "after", "refusal")}
    assert told == {
        "organization": str(halls[1].pk), "member": None, "external_id": "acct-1", "before": "Hall 0",
        "after": "Hall 1", "refusal": None,
    }  # fmt: skip
    assert second.get(f"{path}rows/?refused=true").json()["results"] == []
    assert author.post(f"{path}undo/", {}).status_code == 400  # what loosens has a reason
    undo = author.post(f"{path}undo/", {"reason": "Wrong"}).json()
    assert (undo["kind"], undo["undoes"], undo["changed"]) == ("rebind", job["id"], 1)
    assert verification.verify().problems == []


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"reason": " "}, 400, "#/reason"),
        ({"rebind": []}, 400, "#/rebind"),
        ({"rebind": [{"external_id": "acct-1"}]}, 400, "#/rebind/0/organization"),
        ({"rebind": [{"external_id": "acct-1", "organization": "external:no"}]}, 400, "#/rebind"),
        ({"rebind": [{"external_id": "a\u200b", "organization": "external:acct-1"}]}, 400, "#/rebind"),
        ({"surface": "le_chat_console"}, 400, "#/surface"),
    ],
)
def test_api__what_cannot_be_meant__400_and_nothing_kept(
    changes: dict[str, Any], status: int, pointer: str, team: Team, halls: list[Organization]
) -> None:
    author = by_session(team.author)
    before = database()
    answer = author.post("bulk-jobs/", body(halls[1], **changes))
    assert (answer.status_code, [each["pointer"] for each in answer.json()["errors"]]) == (status, [pointer])
    assert database() == before


def test_api__key_without_the_right_to_give_ids__403(team: Team, halls: list[Organization]) -> None:
    caller = by_key("consent:write", issued_by=team.author)
    answer = caller.post("bulk-jobs/", body(halls[1]))
    assert answer.status_code == 403
    assert not BulkJob.objects.exists()


# --- The operators' site ---------------------------------------------------------------------------------------------


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


def upload(hall: Organization, text: str = "") -> dict[str, Any]:
    text = text or f"external_id,organization\nacct-1,{hall.pk}\n"
    return {"rebind": "true", "file": SimpleUploadedFile("ids.csv", text.encode()), "reason": "Merged"}


def test_site__previewed_run_and_approved(team: Team, halls: list[Organization]) -> None:
    author, second = signed_in(team.author), signed_in(team.second)
    response = author.post(url("bulk"), upload(halls[1]))
    job = BulkJob.objects.get()
    assert (response.status_code, response["Location"]) == (302, url("consent_bulkjob_change", job.pk))
    page = author.get(response["Location"]).content.decode()
    assert "External ids moved to others" in page and "acct-1" in page and "Hall 0" in page
    assert author.post(url("consent_bulkjob_run", job.pk), {"digest": job.digest}).status_code == 302
    assert holder() == halls[0]
    assert second.post(url("consent_bulkjob_verb", job.pk, "approve")).status_code == 302
    work_once()
    assert holder() == halls[1]
    assert second.get(url("consent_bulkjob_change", job.pk)).status_code == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,organization\nacct-1,x\n", "no column external_id"),
        ("external_id,organization\nacct-1,external:nobody\n", "row 2, column organization"),
    ],
)
def test_site__bad_file__told_and_nothing_kept(text: str, told: str, team: Team, halls: list[Organization]) -> None:
    author = signed_in(team.author)
    before = database()
    response = author.post(url("bulk"), upload(halls[1], text))
    assert response.status_code == 400
    assert told in response.content.decode()
    assert database() == before
