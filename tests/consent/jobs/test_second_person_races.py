"""Two operators at the same time: a request or approval works once, and not for somebody losing the right meanwhile."""

from collections.abc import Callable

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import User
from consent.errors import Refused
from consent.jobs import actions
from consent.models import OperatorRequest
from consent.services import operator_requests, people
from tests.support.concurrency import together
from tests.support.factories import UserFactory
from tests.support.jobs import IN, Team

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def third(transactional_db: None) -> User:
    return UserFactory(email="hnoss@provider.example", name="Hnoss", operator=True)


def attempted(act: Callable[[], object]) -> Callable[[], str]:
    def run() -> str:
        try:
            act()
        except (Refused, Forbidden) as error:
            return type(error).__name__
        return "done"

    return run


def asked(team: Team, **wish: object) -> OperatorRequest:
    wanted = {"kind": "operator", "email": "new@provider.example", "reason": "joins"} | wish
    return operator_requests.ask(actor=team.actor, **wanted)  # type: ignore[arg-type]


def confirming(request: OperatorRequest, user: User) -> Callable[[], object]:
    return lambda: operator_requests.confirm(
        request=request, actor=Actor.from_user(user, confirmed=True), password_link=lambda person: f"/{person.pk}/"
    )


def test_confirm__two_at_once__one_is_refused_and_one_operator_is_made(third: User) -> None:
    team = Team()
    request = asked(team)
    outcomes = together(attempted(confirming(request, team.second)), attempted(confirming(request, third)))
    assert sorted(map(str, outcomes)) == ["Refused", "done"]
    assert User.objects.filter(is_staff=True).count() == 4


def test_confirm_and_withdraw__at_once__one_of_them_counts(third: User) -> None:
    team = Team()
    request = asked(team)
    withdraw = attempted(lambda: operator_requests.decline(request=request, actor=team.actor))
    outcomes = together(attempted(confirming(request, third)), withdraw)
    assert sorted(map(str, outcomes)) == ["Refused", "done"]
    made = User.objects.filter(email="new@provider.example").exists()
    assert made is (OperatorRequest.objects.get().status == "confirmed")


def test_confirm__while_they_are_demoted__is_before_it_or_not_at_all(third: User) -> None:
    team = Team()
    request = asked(team)
    demote = attempted(lambda: people.end_operator(person=third, actor=Actor.from_user(team.second, confirmed=True)))
    confirmed, demoted = together(attempted(confirming(request, third)), demote)
    assert demoted == "done"
    assert (confirmed == "done") is (OperatorRequest.objects.get().status == "confirmed")
    assert not User.objects.get(pk=third.pk).is_staff


def test_approve__two_at_once__one_is_refused(third: User) -> None:
    team = Team()
    team.organizations(2, "le_chat_teams")
    job = team.previewed(IN)
    job = actions.submit(job=job, actor=team.actor, digest=job.digest)
    outcomes = together(
        *(
            attempted(lambda actor=actor: actions.approve(job=job, actor=actor))
            for actor in (team.other, Actor.from_user(third, confirmed=True))
        )
    )
    assert sorted(map(str, outcomes)) == ["Refused", "done"]
