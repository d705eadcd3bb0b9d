"""The operators' site: bulk change and its jobs."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Plan
from consent import verification
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import organizations
from consent.services.organizations import OrganizationDraft
from consent.worker import work_once
from tests.support.commands import database
from tests.support.jobs import IN, OUT, Team
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def author(team: Team) -> Client:
    return signed_in(team.author)


@pytest.fixture
def second(team: Team) -> Client:
    return signed_in(team.second)


def signed_in(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


SCOPE: dict[str, Any] = {"surface": "le_chat_console", "choice": OUT, "plan": ["le_chat_free"]}


def previewed(client: Client, **changes: Any) -> BulkJob:
    response = client.post(url("bulk"), SCOPE | changes)
    assert response.status_code == 302, response.content.decode()
    job = BulkJob.objects.latest("pk")
    assert response["Location"] == url("consent_bulkjob_change", job.pk)
    return job


def send(client: Client, job: BulkJob, verb: str, **sent: Any) -> HttpResponse:
    if verb in ("run", "undo"):
        return client.post(url(f"consent_bulkjob_{verb}", job.pk), {"digest": job.digest} | sent)
    return client.post(url("consent_bulkjob_verb", job.pk, verb), sent)


def worked(job: BulkJob) -> BulkJob:
    while work_once():
        pass
    job.refresh_from_db()
    return job


def text_of(response: HttpResponse) -> str:
    return response.content.decode()


# --- From the scope to the end ----------------------------------------------------------------------------------------


def test_bulk__scope_to_end__nothing_changed_before_it_is_run(team: Team, author: Client) -> None:
    halls = team.organizations(3)
    team.choose(halls[0], OUT)
    job = previewed(author, reason="By law")
    page = author.get(url("consent_bulkjob_change", job.pk))
    assert page.context["numbers"] == (2, 1, {}) and page.context["buttons"] == ["run", "cancel"]
    assert "Change 2 organizations" in text_of(page) and "Hall 1" in text_of(page) and job.digest in text_of(page)
    assert PrivacySetting.objects.filter(choice=OUT).count() == 1
    assert send(author, job, "run").status_code == 302
    assert worked(job).status == "done"
    done = text_of(author.get(url("consent_bulkjob_change", job.pk)))
    assert "3 of 3 rows" in done and "Preview an undo" in done
    assert PrivacySetting.objects.filter(product="le_chat", choice=OUT).count() == 3
    events = ConsentEvent.objects.filter(job=job)
    assert set(events.values_list("actor_id", "source", "reason")) == {(str(team.author.pk), "admin", "By law")}


def test_bulk__every_part_of_the_scope__kept_with_the_job(team: Team, author: Client) -> None:
    [hall] = team.organizations(1)
    job = previewed(
        author, standing=["default"], because=["plan_default"], kind=["team"], status=["active"],
        country="fr, de", created_from="2020-01-01 00:00", organizations=f"{hall.pk}\n",
    )  # fmt: skip
    assert job.selection == {
        "plan": ["le_chat_free"], "choice": ["default"], "reason": ["plan_default"], "kind": ["team"],
        "status": ["active"], "country": ["FR", "DE"], "created_from": "2020-01-01T00:00:00Z",
        "organizations": [str(hall.pk)],
    }  # fmt: skip
    assert job.matched == 0
    assert "run" not in author.get(url("consent_bulkjob_change", job.pk)).context["buttons"]


def test_bulk__file_with_choices__each_its_own(team: Team, author: Client) -> None:
    first, other = team.organizations(2)
    text = f"organization,choice\n{first.pk},opted_out\n{other.pk},opted_in\n"
    file = SimpleUploadedFile("list.csv", text.encode())
    job = previewed(author, plan=[], choice="", reason="Agreed", file=file)
    assert (job.matched, job.loosens) == (2, True)
    assert send(author, job, "run").status_code == 302
    job.refresh_from_db()
    assert job.status == "awaiting_approval"


def test_default__another_for_a_plan__job_with_an_event_for_each(team: Team, author: Client) -> None:
    team.organizations(2)
    sent = {"plan": "le_chat_free", "default": OUT, "reason": "Decided in May"}
    assert author.post(url("bulk"), sent).status_code == 302
    job = BulkJob.objects.get()
    send(author, job, "run")
    assert worked(job).changed == 2
    assert Plan.objects.get(pk="le_chat_free").training_default == OUT
    assert verification.verify().problems == []


def test_job__opts_in__waits_for_another_operator(team: Team, author: Client, second: Client) -> None:
    team.organizations(2)
    job = previewed(author, choice=IN, reason="Agreed")
    send(author, job, "run")
    mine = author.get(url("consent_bulkjob_change", job.pk))
    assert mine.context["buttons"] == ["cancel"] and "another operator has to approve it" in text_of(mine)
    assert second.get(url("consent_bulkjob_change", job.pk)).context["buttons"] == ["approve", "cancel"]
    assert send(second, job, "approve").status_code == 302
    assert (worked(job).status, job.approver) == ("done", team.second)


def test_job__undo__previewed_as_a_job_of_its_own(team: Team, author: Client) -> None:
    team.organizations(2)
    job = previewed(author)
    send(author, job, "run")
    worked(job)
    assert send(author, job, "undo").status_code == 400, "it lets data be used again: that needs a reason"
    assert not BulkJob.objects.filter(undoes=job).exists()
    assert send(author, job, "undo", reason="A mistake").status_code == 302
    undo = BulkJob.objects.get(undoes=job)
    assert undo.status == "previewed" and str(job.pk) in text_of(author.get(url("consent_bulkjob_change", undo.pk)))


def test_job__drifted__409_and_both_ways_on(team: Team, author: Client) -> None:
    halls = team.organizations(2)
    job = previewed(author)
    team.choose(halls[0], OUT)
    response = send(author, job, "run")
    assert response.status_code == 409 and "Run it anyway for those in the preview" in text_of(response)
    job.refresh_from_db()
    assert job.status == "previewed"
    assert send(author, job, "run", accept_drift="true").status_code == 302
    assert worked(job).changed == 1


def test_job__passed_over__as_csv_and_json_lines(team: Team, author: Client, second: Client) -> None:
    halls = team.organizations(2)
    team.choose(halls[0], OUT)
    job = previewed(author, choice=IN, reason="Agreed")
    send(author, job, "run")
    send(second, job, "approve")
    worked(job)
    assert "Organization opted out" in text_of(author.get(url("consent_bulkjob_change", job.pk)))
    files = [author.get(url("consent_bulkjob_file", job.pk, "refused", form)) for form in ("csv", "jsonl")]
    texts = [b"".join(file.streaming_content).decode("utf-8-sig") for file in files]
    expected = {"row": "1", "organization": str(halls[0].pk), "refusal": "organization_opted_out"}
    [row] = csv.DictReader(io.StringIO(texts[0]))
    assert {name: row[name] for name in expected} == expected
    assert json.loads(texts[1])["refusal"] == "organization_opted_out"
    assert files[0]["Content-Disposition"].startswith("attachment")


def test_state__running__asks_again_and_over__no_more(team: Team, author: Client) -> None:
    team.organizations(1)
    job = previewed(author)
    send(author, job, "run")
    state = author.get(url("consent_bulkjob_state", job.pk))
    assert 'hx-trigger="every 2s"' in text_of(state) and "no-store" in state["Cache-Control"]
    worked(job)
    assert "hx-get" not in text_of(author.get(url("consent_bulkjob_state", job.pk)))


@pytest.mark.parametrize("name", ["consent_bulkjob_changelist", "consent_bulkjob_change", "consent_bulkjob_state"])
def test_pages__any_number__fixed_number_of_queries(team: Team, author: Client, name: str) -> None:
    def queries() -> int:
        job = previewed(author)
        args = () if name.endswith("list") else (job.pk,)
        with CaptureQueriesContext(connection) as found:
            assert author.get(url(name, *args)).status_code == 200
        return len(found)

    team.organizations(2)
    few = queries()
    team.organizations(10)
    for _ in range(3):
        previewed(author)
    assert queries() == few


# --- Refused, and nothing changed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"plan": []}, "__all__"),
        ({"plan": ["gold"]}, "plan"),
        ({"surface": "le_chat_mobile"}, "surface"),
        ({"choice": "default"}, "choice"),
        ({"choice": ""}, "choice"),
        ({"choice": IN}, "reason"),
        ({"everything": "on"}, "__all__"),
        ({"country": "France", "created_from": "yesterday"}, "created_from"),
        ({"organizations": "nobody"}, "organizations"),
        ({"organizations": "external:nobody"}, "organizations"),
        ({"choice": "", "file": b"organization,choice\nnobody,opted_out\n"}, "file"),
        ({"choice": "", "file": b"organization,choice\n,perhaps\n"}, "file"),
        ({"file": b"a,b\n1,2\n"}, "file"),
        ({"file": b"organization,choice\nx,opted_out\n"}, "choice"),
    ],
)
def test_bulk__bad_scope__400_names_the_field(team: Team, author: Client, changes: dict[str, Any], field: str) -> None:
    team.organizations(1)
    if "file" in changes:
        changes = changes | {"file": SimpleUploadedFile("list.csv", changes["file"])}
    before = database()
    response = author.post(url("bulk"), SCOPE | changes)
    assert response.status_code == 400
    assert field in response.context["form"].errors
    assert database() == before


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"plan": "le_chat_free", "default": OUT, "reason": ""}, "reason"),
        ({"plan": "gold", "default": OUT, "reason": "x"}, "plan"),
        ({"plan": "le_chat_teams", "default": IN, "reason": "x"}, "default"),
    ],
)
def test_default__bad__400_names_the_field(author: Client, sent: dict[str, str], field: str) -> None:
    before = database()
    response = author.post(url("bulk"), sent)
    assert response.status_code == 400 and field in response.context["default_form"].errors
    assert database() == before


def unchanged(change: Callable[[], HttpResponse], status: int) -> None:
    before = database()
    assert change().status_code == status
    assert database() == before


@pytest.mark.parametrize("verb", ["approve", "pause", "resume", "undo"])
def test_verb__job_in_another_state__409(team: Team, author: Client, verb: str) -> None:
    team.organizations(1)
    job = previewed(author)
    unchanged(lambda: send(author, job, verb), 409)


def test_approve__by_its_author__403(team: Team, author: Client) -> None:
    team.organizations(1)
    job = previewed(author, choice=IN, reason="Agreed")
    send(author, job, "run")
    unchanged(lambda: send(author, job, "approve"), 403)


def test_run__another_digest__400(team: Team, author: Client) -> None:
    team.organizations(1)
    job = previewed(author)
    unchanged(lambda: send(author, job, "run", digest="0" * 64), 400)


def test_urls__that_are_none__404_and_wrong_method__405(team: Team, author: Client) -> None:
    team.organizations(1)
    job = previewed(author)
    assert author.post(url("consent_bulkjob_verb", job.pk, "explode")).status_code == 404
    assert author.get(url("consent_bulkjob_change", "nobody")).status_code == 404
    assert author.get(url("consent_bulkjob_file", job.pk, "secrets", "csv")).status_code == 404
    assert author.get(url("consent_bulkjob_verb", job.pk, "cancel")).status_code == 405
    assert author.get(url("consent_bulkjob_run", job.pk)).status_code == 405
    assert author.post(url("consent_bulkjob_change", job.pk)).status_code == 405


@pytest.mark.parametrize("role", ["anonymous", "owner"])
def test_pages__whoever_is_no_operator__kept_out(team: Team, author: Client, role: str) -> None:
    organizations.create_organizations(
        [OrganizationDraft(name="Mine", kind="personal", owner=("o@x.example", "O"))], actor=team.actor, source="admin"
    )
    job = previewed(author)
    client = Client()
    if role == "owner":
        client.force_login(organizations_owner())
    expected = 302 if role == "anonymous" else 403
    before = database()
    for name, *args in (
        ("bulk",), ("import",), ("consent_bulkjob_changelist",), ("consent_bulkjob_change", job.pk),
        ("consent_bulkjob_state", job.pk), ("consent_bulkjob_file", job.pk, "refused", "csv"),
    ):  # fmt: skip
        assert client.get(url(name, *args)).status_code == expected, name
    assert client.post(url("bulk"), SCOPE).status_code == expected
    for verb in ("run", "undo", "approve", "cancel"):
        assert send(client, job, verb).status_code == expected
    assert database() == before


def organizations_owner() -> Any:
    from accounts.models import User

    return User.objects.get(email="o@x.example")
