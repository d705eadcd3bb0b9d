"""Operators and accounts: asking twice changes and records nothing the second time; operators take two."""

from collections.abc import Callable

import pytest

from accounts.models import User
from consent.errors import Refused
from consent.services import people
from tests.support.cast import Cast
from tests.support.commands import database
from tests.support.factories import UserFactory

pytestmark = pytest.mark.django_db


def nobody_is_mailed(_person: User) -> str:
    raise AssertionError("no link is made")


def in_person() -> User:
    return UserFactory(email="frigg@provider.example", name="Frigg Dahl", operator=True)


@pytest.mark.parametrize("act", [people.end_operator, people.deactivate, people.reactivate])
def test_person__already_so__nothing_changes(cast: Cast, act: Callable[..., User]) -> None:
    person = cast.member
    if act is people.deactivate:
        people.deactivate(person=person, actor=cast.provider)
    before = database()
    act(person=person, actor=cast.provider)
    assert database() == before


@pytest.mark.parametrize("act", ["reactivate", "mail_link", "remove_second_factors"])
def test_person__an_operator__takes_two(cast: Cast, act: str) -> None:
    other = in_person()
    more = {"password_link": nobody_is_mailed} if act == "mail_link" else {}
    before = database()
    with pytest.raises(Refused) as refused:
        getattr(people, act)(person=other, actor=cast.provider, **more)
    assert refused.value.code == "second_person"
    assert database() == before
