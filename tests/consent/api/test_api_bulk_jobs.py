import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext

from consent import verification
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.worker import work_once
from tests.support.callers import Caller, assert_problem, by_key, by_session
from tests.support.commands import database, run
from tests.support.jobs import IN, OUT, Team
from tests.support.keys import issue_key

pytestmark = pytest.mark.django_db
SCOPES = ["consent:read", "consent:write"]


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def author(team: Team) -> Caller:
    return by_session(team.author)


@pytest.fixture
def second(team: Team) -> Caller:
    return by_session(team.second)


def wish(choice: str = OUT, **more: Any) -> dict[str, Any]:
    return {"surface": "le_chat_console", "choice": choice, "select": {"plan": ["le_chat_free"]}} | more


def previewed(caller: Caller, body: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = caller.post("bulk-jobs/", body or wish())
    assert answer.status_code == 202, answer.content
    return answer.json()


def run_it(caller: Caller, digest: str, **more: Any) -> HttpResponse:
    return caller.post("bulk-jobs/", {"dry_run": False, "digest": digest, **more})


def settings_of(product: str = "le_chat") -> list[str]:
    return sorted(PrivacySetting.objects.of_organizations().filter(product=product).values_list("choice", flat=True))


# --- From preview to end ----------------------------------------------------------------------------------------------


def test_post__dry_run__counts_sample_digest_and_nothing_changed(team: Team, author: Caller) -> None:
    halls = team.organizations(3)
    team.choose(halls[0], OUT)
    before = list(PrivacySetting.objects.values())
    answer = author.post("bulk-jobs/", wish())
    job = answer.json()
    assert answer.status_code == 202 and answer["Location"].endswith(f"/api/v1/bulk-jobs/{job['id']}/")
    assert (job["status"], job["matched"], job["changed"], job["unchanged"], job["refused"]) == (
        "previewed",
        3,
        2,
        1,
        0,
    )
    assert len(job["digest"]) == 64 and job["select"] == {"plan": ["le_chat_free"]}
    assert {each["organization"] for each in job["sample"]} == {str(hall.pk) for hall in halls}
    assert list(PrivacySetting.objects.values()) == before
    assert author.get(f"bulk-jobs/{job['id']}/").json()["status"] == "previewed"


def test_run__by_digest__queued_then_done_by_a_worker(team: Team, author: Caller) -> None:
    team.organizations(5)
    job = previewed(author)
    answer = run_it(author, job["digest"], **wish())
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert settings_of() == ["default"] * 5
    while work_once():
        pass
    done = author.get(f"bulk-jobs/{job['id']}/").json()
    assert (done["status"], done["processed"], done["changed"], done["eta"]) == ("done", 5, 5, None)
    assert settings_of() == [OUT] * 5
    events = ConsentEvent.objects.filter(kind="choice.opted_out")
    assert set(events.values_list("actor_type", "actor_id", "source")) == {("user", str(team.author.pk), "api")}
    assert verification.verify().problems == []


def test_run__with_a_key__its_issuer_answers_and_events_name_the_key(team: Team) -> None:
    team.organizations(2)
    key, text = issue_key("Billing", SCOPES, issued_by=team.author)
    caller = Caller(by_key(*SCOPES).client, {"Authorization": f"Bearer {text}"})
    job = previewed(caller)
    assert job["author"] == {"id": str(team.author.pk), "label": "Odin Eriksen", "api_key": str(key.pk)}
    assert run_it(caller, job["digest"]).status_code == 202
    while work_once():
        pass
    events = ConsentEvent.objects.filter(kind="choice.opted_out")
    assert set(events.values_list("actor_type", "actor_id")) == {("api_key", str(key.pk))}
    assert verification.verify().problems == []


def test_run__selection_drifted__409_unless_told_to_go_on(team: Team, author: Caller) -> None:
    halls = team.organizations(2)
    job = previewed(author)
    team.choose(halls[0], OUT)
    assert_problem(run_it(author, job["digest"]), 409, "drifted")
    assert BulkJob.objects.get().status == "previewed"
    assert run_it(author, job["digest"], accept_drift=True).json()["status"] == "queued"


def test_undo__of_a_done_job__preview_of_its_own_that_waits_for_approval(
    team: Team, author: Caller, second: Caller
) -> None:
    team.organizations(3)
    job = previewed(author)
    run_it(author, job["digest"])
    work_once()
    undo = author.post(f"bulk-jobs/{job['id']}/undo/", {"reason": "By mistake"})
    assert (undo.status_code, undo.json()["kind"], undo.json()["undoes"]) == (202, "undo", job["id"])
    assert undo["Location"].endswith(f"/bulk-jobs/{undo.json()['id']}/")
    assert run_it(author, undo.json()["digest"]).json()["status"] == "awaiting_approval"
    assert second.post(f"bulk-jobs/{undo.json()['id']}/approve/", {}).json()["status"] == "queued"
    while work_once():
        pass
    assert settings_of() == ["default"] * 3
    assert verification.verify().problems == []


def test_verbs__pause_resume_cancel__each_shows_the_job(team: Team, author: Caller) -> None:
    team.organizations(2)
    job = previewed(author)
    run_it(author, job["digest"])
    for verb, status in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        answer = author.post(f"bulk-jobs/{job['id']}/{verb}/", {})
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert settings_of() == ["default"] * 2


def test_command_and_api__same_job__one_json(team: Team, author: Caller) -> None:
    halls = team.organizations(3)
    team.choose(halls[0], IN)

    def told_alike(ident: str) -> dict[str, Any]:
        shown = run("job", "show", ident, "--format", "json").json
        assert shown == author.get(f"bulk-jobs/{ident}/").json()
        return dict(shown)

    job = previewed(author)
    assert "sample" in told_alike(job["id"])
    run_it(author, job["digest"])
    assert told_alike(job["id"])["status"] == "queued"
    assert work_once()
    assert told_alike(job["id"])["changed"] == 3
    undo = author.post(f"bulk-jobs/{job['id']}/undo/", {"reason": "Wrong list"}).json()
    assert told_alike(undo["id"])["undoes"] == job["id"]
    listed = run("job", "list", "--format", "json").json["jobs"]
    assert listed == author.get("bulk-jobs/").json()["results"]


def test_rows__all_and_refused__paged(team: Team, author: Caller, second: Caller) -> None:
    halls = team.organizations(3)
    team.choose(halls[1], OUT)
    job = previewed(author, wish(IN, reason="Agreed in writing"))
    run_it(author, job["digest"])
    second.post(f"bulk-jobs/{job['id']}/approve/", {})
    while work_once():
        pass
    first = author.get(f"bulk-jobs/{job['id']}/rows/?limit=2").json()
    assert [row["row"] for row in first["results"]] == [1, 2]
    rest = author.client.get(first["next"]).json()
    assert ([row["row"] for row in rest["results"]], rest["next"]) == ([3], None)
    refused = author.get(f"bulk-jobs/{job['id']}/rows/?refused=true").json()["results"]
    assert [(row["organization"], row["choice"], row["refusal"]) for row in refused] == [
        (str(halls[1].pk), IN, "organization_opted_out")
    ]


def test_list__filters__newest_first(team: Team, author: Caller) -> None:
    team.organizations(1)
    ids = [previewed(author, wish(reason=str(n)))["id"] for n in range(3)]
    run_it(author, BulkJob.objects.get(pk=ids[0]).digest)
    assert [job["id"] for job in author.get("bulk-jobs/").json()["results"]] == ids[::-1]
    assert [job["id"] for job in author.get("bulk-jobs/?status=queued").json()["results"]] == ids[:1]
    assert author.get("bulk-jobs/?kind=import").json()["results"] == []


@pytest.mark.parametrize("path", ["bulk-jobs/", "bulk-jobs/{id}/", "bulk-jobs/{id}/rows/"])
def test_reading__any_number_of_rows__fixed_number_of_queries(team: Team, author: Caller, path: str) -> None:
    def queries() -> int:
        job = previewed(author, wish(reason=uuid.uuid4().hex))
        with CaptureQueriesContext(connection) as found:
            assert author.get(path.format(id=job["id"])).status_code == 200
        return len(found)

    team.organizations(1)
    few = queries()
    team.organizations(9)
    assert queries() == few


# --- Refused, and nothing changed -------------------------------------------------------------------------------------


def refused(change: Callable[[], HttpResponse], status: int, code: str, *pointers: str) -> None:
    before = database()
    assert_problem(change(), status, code, *pointers)
    assert database() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"surface": "le_chat_console", "choice": OUT}, "#/select"),
        ({"surface": "le_chat_console", "select": {"everything": True}}, "#/choice"),
        (wish("default"), "#/choice"),
        (wish(surface="fax"), "#/surface"),
        (wish(surface="le_chat_mobile"), "#/surface"),
        (wish(colour="red"), "#/colour"),
        (wish(select={}), "#/select"),
        (wish(select=[1]), "#/select"),
        (wish(select={"plan": ["gold"]}), "#/select/plan"),
        (wish(select={"planet": "mars"}), "#/select/planet"),
        (wish(select={"created_from": "yesterday"}), "#/select/created_from"),
        (wish(digest="x"), "#/digest"),
        (wish(IN), "#/reason"),
        (wish(dry_run="perhaps"), "#/dry_run"),
        ({"dry_run": False}, "#/digest"),
        ({"dry_run": False, "digest": "0" * 64}, "#/digest"),
    ],
)
def test_post__bad_input__400_names_it(team: Team, author: Caller, body: dict[str, Any], pointer: str) -> None:
    team.organizations(1)
    answer = author.post("bulk-jobs/", body)
    assert answer.status_code == 400
    assert pointer in [each["pointer"] for each in answer.json()["errors"]]
    assert not BulkJob.objects.exists()


@pytest.mark.parametrize("other", [{"choice": IN}, {"reason": "x"}, {"select": {"everything": True}}])
def test_run__says_otherwise_than_its_preview__400(team: Team, author: Caller, other: dict[str, Any]) -> None:
    team.organizations(1)
    digest = previewed(author)["digest"]
    refused(lambda: run_it(author, digest, **(wish() | other)), 400, "invalid", f"#/{next(iter(other))}")


def test_run__twice__400_no_preview_waits(team: Team, author: Caller) -> None:
    team.organizations(1)
    digest = previewed(author)["digest"]
    run_it(author, digest)
    refused(lambda: run_it(author, digest), 400, "invalid", "#/digest")


def test_approve__by_the_author__403(team: Team, author: Caller) -> None:
    team.organizations(1)
    job = previewed(author, wish(IN, reason="Agreed"))
    run_it(author, job["digest"])
    refused(lambda: author.post(f"bulk-jobs/{job['id']}/approve/", {}), 403, "forbidden")


def test_approve__by_a_key__403_whoever_issued_it(team: Team, author: Caller) -> None:
    team.organizations(1)
    job = previewed(author, wish(IN, reason="Agreed"))
    run_it(author, job["digest"])
    _key, text = issue_key("Other", SCOPES, issued_by=team.second)
    caller = Caller(author.client.__class__(), {"Authorization": f"Bearer {text}"})
    caller.get("products/")  # its use is noted
    refused(lambda: caller.post(f"bulk-jobs/{job['id']}/approve/", {}), 403, "forbidden")


@pytest.mark.parametrize(("standing", "status"), [("nobody", 403), ("left", 401), ("no_operator", 401)])
def test_post__with_a_key_nobody_answers_for__refused(team: Team, standing: str, status: int) -> None:
    team.organizations(1)
    _key, text = issue_key("Old", SCOPES, issued_by=None if standing == "nobody" else team.author)
    if standing != "nobody":
        field = "is_active" if standing == "left" else "is_staff"
        setattr(team.author, field, False)
        team.author.save(update_fields=[field])
    caller = Caller(by_key(*SCOPES).client, {"Authorization": f"Bearer {text}"})
    caller.get("products/")
    code = "forbidden" if status == 403 else "authentication_failed"
    refused(lambda: caller.post("bulk-jobs/", wish()), status, code)


@pytest.mark.parametrize("verb", ["approve", "pause", "resume", "undo"])
def test_verb__job_in_another_state__409(team: Team, author: Caller, verb: str) -> None:
    team.organizations(1)
    job = previewed(author)
    refused(lambda: author.post(f"bulk-jobs/{job['id']}/{verb}/", {}), 409, "status")


@pytest.mark.parametrize("ident", ["nothing", str(uuid.UUID(int=7))])
@pytest.mark.parametrize("rest", ["", "rows/"])
def test_get__no_such_job__404(author: Caller, ident: str, rest: str) -> None:
    assert_problem(author.get(f"bulk-jobs/{ident}/{rest}"), 404, "not_found")
