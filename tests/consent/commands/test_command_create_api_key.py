import datetime as dt
import re

import pytest

from accounts.authentication import recognise
from accounts.models import ApiKey
from tests.support.commands import database, run
from tests.support.factories import ActorFactory, OrganizationFactory

pytestmark = pytest.mark.django_db


def test_create_api_key__name_and_scopes__key_alone_on_stdout() -> None:
    made = run("create_api_key", "pipeline", "--scope", "decisions:read", "consent:read")
    assert made.code == 0
    assert re.fullmatch(r"tck_\w{8}_[\w-]{43}\n", made.out)
    key = recognise(made.out.strip()).key
    assert key is not None
    assert (key.name, key.scopes, key.organization, key.expires_at) == (
        "pipeline",
        ["decisions:read", "consent:read"],
        None,
        None,
    )
    assert "for all organizations" in made.err
    assert made.out.strip() not in made.err


def test_create_api_key__same_name_again__another_key() -> None:
    assert (
        run("create_api_key", "a", "--scope", "events:read").out
        != run("create_api_key", "a", "--scope", "events:read").out
    )
    assert ApiKey.objects.filter(name="a").count() == 2


@pytest.mark.parametrize("by", ["external", "id"])
def test_create_api_key__organization__good_for_it_alone(by: str) -> None:
    [acme] = OrganizationFactory.with_ids("acme", actor=ActorFactory(of_commands=True))
    ident = "external:acme" if by == "external" else str(acme.pk)
    made = run("create_api_key", "a", "--scope", "consent:write", "--organization", ident)
    assert made.code == 0
    assert recognise(made.out.strip()).key.organization == acme


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2999-01-31", dt.datetime(2999, 1, 31, tzinfo=dt.UTC)),
        ("2999-01-31T12:00:00+02:00", dt.datetime(2999, 1, 31, 10, tzinfo=dt.UTC)),
    ],
)
def test_create_api_key__expires__kept(text: str, expected: dt.datetime) -> None:
    made = run("create_api_key", "a", "--scope", "events:read", "--expires", text)
    assert recognise(made.out.strip()).key.expires_at == expected


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["a"], 2, "required: --scope"),
        (["a", "--scope", "decisions:all"], 2, "decisions:all"),
        ([" ", "--scope", "events:read"], 2, "1 to 80 characters"),
        (["a" * 81, "--scope", "events:read"], 2, "1 to 80 characters"),
        (["a\x1b[2J", "--scope", "events:read"], 2, "control character"),
        (["a", "--scope", "events:read", "--expires", "2020-01-01"], 2, "not in the future"),
        (["a", "--scope", "events:read", "--expires", "2999-01-01T00:00:00"], 2, "no time zone"),
        (["a", "--scope", "events:read", "--expires", "soon"], 2, "“soon” is not an instant"),
        (["a", "--scope", "events:read", "--organization", "external:nobody"], 1, "“external:nobody”"),
        (["a", "--scope", "events:read", "--expires", "9999-12-31T23:00:00-14:00"], 2, "is not an instant"),
        (["a", "--scope", "events:read", "--organization", "x"], 1, "“x”"),
        (["a", "--scope", "consent:member", "--organization", "external:acme"], 2, "for operator keys only"),
    ],
)
def test_create_api_key__bad_input__named_and_nothing_made(argv: list[str], code: int, message: str) -> None:
    OrganizationFactory.with_ids("acme", actor=ActorFactory(of_commands=True))
    before = database()
    refused = run("create_api_key", *argv)
    assert (refused.code, refused.out) == (code, "")
    assert message in refused.err
    assert database() == before
