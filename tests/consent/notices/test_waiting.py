"""Operators hear of what waits for a second one of them, and of their own jobs that failed."""

import pytest
from django.db import connection

from accounts.models import OutgoingMessage
from consent.jobs import actions, engine
from consent.models import JobStatus
from consent.services import operator_requests
from tests.support.factories import UserFactory
from tests.support.jobs import IN, OUT, Team
from tests.support.operators import Staff

pytestmark = pytest.mark.django_db


def told(about: str) -> set[str]:
    return set(OutgoingMessage.objects.filter(subject__contains=about).values_list("recipient", flat=True))


@pytest.fixture
def team() -> Team:
    team = Team()
    team.organizations(2)
    return team


def test_submit__job_that_loosens__every_other_operator_who_may_approve_hears_of_it(team: Team) -> None:
    UserFactory(email="baldur@provider.example", operator=True, is_active=False)
    job = team.previewed(IN)
    actions.submit(job=job, actor=team.actor, digest=job.digest)
    UserFactory(email="late@provider.example", operator=True)
    assert told("A job waits for a second operator") == {team.second.email}
    [mail] = OutgoingMessage.objects.all()
    assert "Odin Eriksen" in mail.body and f"/admin/consent/bulkjob/{job.pk}/change/" in mail.body
    assert "as agreed" in mail.body and "Rows: 2" in mail.body


def test_submit__job_that_tightens__waits_for_nobody_and_nobody_is_told(team: Team) -> None:
    job = team.previewed(OUT)
    actions.submit(job=job, actor=team.actor, digest=job.digest)
    assert not OutgoingMessage.objects.exists()


def test_ask__request__those_who_may_confirm_hear_of_it_and_not_its_subject() -> None:
    staff = Staff()
    request = staff.asked("link")  # about Tyr
    assert told("A request waits for a second operator") == {staff.second.email}
    [mail] = OutgoingMessage.objects.all()
    assert f"/admin/consent/operatorrequest/{request.pk}/change/" in mail.body
    assert request.subject is not None and f"About: {request.subject.email}\n" in mail.body
    assert operator_requests.why_not(request, staff.actor("second")) == ""


def test_job_fails__who_submitted_it_is_told_and_nobody_else(team: Team) -> None:
    job = engine.claim(team.queued(team.previewed(OUT)))

    def broken(execute, statement, parameters, many, context):  # type: ignore[no-untyped-def]
        if statement.lstrip().startswith("UPDATE consent_privacysetting AS s"):
            raise ZeroDivisionError("on its way")
        return execute(statement, parameters, many, context)

    with pytest.raises(ZeroDivisionError), connection.execute_wrapper(broken):
        engine.run(job)
    job.refresh_from_db()
    assert job.status == JobStatus.FAILED and told("A job failed") == {team.author.email}
    assert f"/admin/consent/bulkjob/{job.pk}/change/" in OutgoingMessage.objects.get().body
