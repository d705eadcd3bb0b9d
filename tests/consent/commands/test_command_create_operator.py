"""Operators made by command (R19): recorded, announced to all operators, their status and credentials dated to then."""

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from accounts.models import User
from consent.models import ConsentEvent, EventKind
from tests.support.commands import run
from tests.support.operators import Staff, all_there_is, mailed_to, operators

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Staff:
    return Staff()


def test_create_operator__first_one__gets_a_link_that_sets_a_password(client: Client) -> None:
    result = run("create_operator", "Odin@Provider.example", "--name", "Odin", "--url", "https://portal.example/")
    assert result.code == 0, result.err
    person = User.objects.get()
    assert (person.email, person.is_staff, person.has_usable_password()) == ("odin@provider.example", True, False)
    path = result.out.strip().removeprefix("https://portal.example")
    page = client.get(path, follow=True)
    data = {"password1": "a password of one's own", "password2": "a password of one's own"}
    assert client.post(page.redirect_chain[-1][0], data).status_code == 302
    assert User.objects.get().check_password("a password of one's own")
    [event] = ConsentEvent.objects.filter(kind=EventKind.ACCESS_OPERATOR_MADE)
    assert (event.source, event.target) == ("command", str(person.pk)) and mailed_to()[0] == person.email


def test_create_operator__who_is_one__counts_from_now_and_all_are_told(staff: Staff) -> None:
    result = run("create_operator", staff.subject.email, "--remove-second-factors", "--format", "json")
    assert result.code == 0 and "/account/reset/" in result.json["link"]
    person = User.objects.get(pk=staff.subject.pk)
    assert person.operator_since is not None and person.operator_since.year > 2001
    assert not Authenticator.objects.exists() and set(mailed_to()) == operators()


@pytest.mark.parametrize("argv", [("nonsense",), ("a@b.example", "--url", "ftp://x")])
def test_create_operator__nonsense__fails_and_makes_nobody(argv: tuple[str, ...]) -> None:
    assert run("create_operator", *argv).code in (1, 2)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    "argv", [("createsuperuser", "--email", "a@b.example", "--noinput"), ("changepassword", "tyr@provider.example")]
)
def test_djangos_own_commands__lead_to_create_operator(staff: Staff, argv: tuple[str, ...]) -> None:
    before = all_there_is()
    result = run(*argv)
    assert result.code == 2 and "create_operator" in result.err
    assert all_there_is() == before
