"""The actions possible in each state of a job are defined once: services, buttons and API agree."""

import pytest
from django.db import transaction

from accounts.access import Actor
from accounts.models import ApiKey
from consent.errors import Refused
from consent.jobs import actions
from consent.jobs.states import Verb, possible
from consent.models import BulkJob, JobStatus
from tests.support.callers import by_key
from tests.support.cast import signed_in
from tests.support.jobs import OUT, Team

pytestmark = pytest.mark.django_db
# As the table of the rules has it, written once more: what is there for the second operator.
EXPECTED = {
    JobStatus.READING: {"cancel"},
    JobStatus.PREVIEWED: {"run", "cancel"},
    JobStatus.AWAITING_APPROVAL: {"approve", "cancel"},
    JobStatus.QUEUED: {"pause", "cancel"},
    JobStatus.RUNNING: {"pause", "cancel"},
    JobStatus.PAUSED: {"resume", "cancel"},
    JobStatus.DONE: {"undo"},
    JobStatus.FAILED: {"resume", "cancel", "undo"},
    JobStatus.CANCELLED: {"undo"},
}
ACTIONS = {
    Verb.RUN: lambda job, actor: actions.submit(job=job, actor=actor, digest=job.digest),
    Verb.APPROVE: lambda job, actor: actions.approve(job=job, actor=actor),
    Verb.PAUSE: lambda job, actor: actions.pause(job=job, actor=actor),
    Verb.RESUME: lambda job, actor: actions.resume(job=job, actor=actor),
    Verb.CANCEL: lambda job, actor: actions.cancel(job=job, actor=actor),
    Verb.UNDO: lambda job, actor: actions.preview_undo(job=job, actor=actor, source="admin", reason="a mistake"),
}


@pytest.fixture
def team() -> Team:
    made = Team()
    made.organizations(1)
    return made


def job_in(team: Team, status: JobStatus) -> BulkJob:
    job = team.previewed(OUT)
    BulkJob.objects.filter(pk=job.pk).update(status=status, changed=1)
    job.refresh_from_db()
    return job


def works(verb: Verb, job: BulkJob, actor: Actor) -> bool:
    """Whether it can be done, without doing it; a refusal has changed nothing."""
    before = BulkJob.objects.values().get(pk=job.pk)
    refused: list[Refused] = []
    with transaction.atomic():
        try:
            ACTIONS[verb](job, actor)
        except Refused as error:
            refused.append(error)
        after = BulkJob.objects.values().get(pk=job.pk)
        transaction.set_rollback(True)
    assert not refused or (refused[0].code, after) == ("status", before)
    return not refused


@pytest.mark.parametrize("status", JobStatus)
def test_possible__each_state__is_what_the_actions_do(team: Team, status: JobStatus) -> None:
    job = job_in(team, status)
    assert {*possible(job, team.other)} == EXPECTED[status]
    assert {verb for verb in Verb if works(verb, job, team.other)} == EXPECTED[status]


@pytest.mark.parametrize("status", JobStatus)
def test_faces__each_state__offer_and_take_what_is_possible(team: Team, status: JobStatus) -> None:
    job = job_in(team, status)
    page = signed_in(team.second.email).get(f"/admin/consent/bulkjob/{job.pk}/change/")
    offered = {*map(str, page.context["buttons"])} | ({"undo"} if page.context["undoable"] else set())
    assert offered == EXPECTED[status]
    key = by_key("consent:write", "consent:read", issued_by=team.second)
    for verb in ("pause", "resume", "cancel", "undo"):
        with transaction.atomic():
            answer = key.post(f"bulk-jobs/{job.pk}/{verb}/", {"reason": "a mistake"} if verb == "undo" else {})
            transaction.set_rollback(True)
        allowed = 202 if verb == "undo" else 200
        assert answer.status_code == (allowed if verb in EXPECTED[status] else 409), verb


@pytest.mark.parametrize("who", ["author", "key", "nobody", "owner"])
def test_possible__who_may_not_approve__sees_the_rest_or_nothing(team: Team, who: str) -> None:
    job = job_in(team, JobStatus.AWAITING_APPROVAL)
    key = ApiKey(issued_by=team.second, scopes=["consent:write"])
    actor = {
        "author": team.actor,
        "key": Actor.from_key(key),
        "nobody": Actor.system(),
        "owner": Actor.from_user(type(team.author)(email="ada@kvasir.example"), confirmed=True),
    }[who]
    assert {*possible(job, actor)} == ({"cancel"} if who in ("author", "key") else set())


@pytest.mark.parametrize(
    ("changes", "undoable"),
    [
        ({"changed": 0}, False),
        ({"kind": "plan_default"}, False),
        ({"kind": "import", "table": "organizations"}, False),
        ({"kind": "import", "table": "choices"}, True),
        ({}, True),
    ],
)
def test_possible__done__undone_only_what_can_be_taken_back(team: Team, changes: dict, undoable: bool) -> None:  # type: ignore[type-arg]
    job = job_in(team, JobStatus.DONE)
    BulkJob.objects.filter(pk=job.pk).update(**changes)
    job.refresh_from_db()
    assert (Verb.UNDO in possible(job, team.actor)) == undoable
