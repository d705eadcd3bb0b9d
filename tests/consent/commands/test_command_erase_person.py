"""erase_person: no personal data is left in the database or the logs, but the opt-out and its proof stay."""

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.access import Actor, Forbidden
from accounts.models import ApiKey, Member, Organization, User
from consent import decisions, verification
from consent.errors import Invalid, Refused
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import choices, erasure, invitations, members, organizations
from consent.surfaces import LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.commands import run
from tests.support.factories import PASSWORD, ImportFileFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = pytest.mark.django_db

EMAIL, NAME = "canary-7f3a@feathers.example", "Canaria Gelbvogel"
OPERATOR = "odin@provider.example"


@pytest.fixture(autouse=True)
def person_everywhere(cast: Cast) -> None:
    person = UserFactory(email=EMAIL, name=NAME)
    for organization in (cast.labs, cast.brage):
        members.add_member(
            organization=organization, email=EMAIL, role="member", external_id=f"m-{organization.name[:3]}",
            actor=cast.provider, source="admin",
        )  # fmt: skip
    draft = organizations.OrganizationDraft(name=NAME, kind="personal", external_id="canary-7f3a", owner=(EMAIL, NAME))
    organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    TOTP.activate(person, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")


def leave_traces(cast: Cast) -> Client:
    """Everything that a person leaves behind in a life with the portal."""
    client = Client(HTTP_USER_AGENT="canary's browser")
    client.post("/sign-in/", {"login": EMAIL, "password": "wrong"})
    client.post("/account/reset/", {"email": EMAIL})
    person = User.objects.get(email=EMAIL)
    client.force_login(person)
    member = Member.objects.get(user=person, organization=cast.labs)
    client.post(f"/settings/data-controls/{member.pk}/", {"choice": "opted_out"})
    key, _text = issue_key("sync", ["consent:read"], organization=cast.labs)
    ApiKey.objects.filter(pk=key.pk).update(issued_by=person, installation=False)
    draft = organizations.OrganizationDraft(name="Third")
    third = organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    invitations.invite(source="console", organization=third, email=EMAIL, role="member", actor=cast.provider, link=str)
    operator = Client()
    operator.force_login(cast.operator)
    details = {"email": EMAIL, "name": NAME, "is_active": "on"}
    operator.post(f"/admin/accounts/user/{person.pk}/change/", details)
    _key, text = issue_key("billing", ["organizations:write", "organizations:read"], issued_by=cast.operator)
    caller = Client(HTTP_AUTHORIZATION=f"Bearer {text}", HTTP_IDEMPOTENCY_KEY="once")
    body = json.dumps({"email": EMAIL, "name": NAME, "role": "member"})
    caller.post(f"/api/v1/organizations/{cast.labs.pk}/members/", body, content_type="application/json")
    return client


def dump(tmp_path: Path) -> str:
    """Every row of every table, Django's and allauth's included, as text."""
    path = tmp_path / "dump.json.gz"
    call_command("dumpdata", output=str(path), verbosity=0)
    text = gzip.decompress(path.read_bytes()).decode()
    # Sessions are encoded; what they hold counts too.
    text += str([session.get_decoded() for session in Session.objects.all()])
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            text += str(cursor.fetchall())
    return text.casefold()


def traces(text: str) -> list[str]:
    return [word for word in ("canary-7f3a", "feathers.example", "canaria", "gelbvogel") if word in text]


def test_erase__everything__no_trace_in_the_database_or_the_logs(cast: Cast, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    client = leave_traces(cast)
    assert traces(dump(tmp_path)), "the canary sings before"
    ids = list(Member.objects.filter(user__email=EMAIL).values_list("pk", flat=True))
    caplog.clear()
    result = run("erase_person", EMAIL, "--actor", OPERATOR, "--yes")
    assert result.code == 0, result.err
    assert traces(dump(tmp_path)) == []
    assert traces(caplog.text.casefold()) == [] and traces(result.out.casefold()) == []
    assert client.get("/settings/data-controls/").status_code == 302
    assert "3 memberships opted out and ended" in result.out
    # The proof is there, and the ledger whole.
    for pk in ids:
        assert ConsentEvent.objects.filter(member=pk, kind="choice.opted_out").exists()
    assert verification.verify().problems == []


def test_erase__afterwards__every_decision_denies(cast: Cast) -> None:
    asked = [
        Question(str(member.organization_id), "le_chat", str(member.pk))
        for member in Member.objects.filter(user__email=EMAIL)
    ]
    asked += [Question("external:canary-7f3a", "le_chat"), Question(str(cast.labs.pk), "le_chat", "external:m-Kva")]
    before = [decisions.decide(question, Actor.system()).decision.allowed for question in asked]
    assert any(before)
    run("erase_person", EMAIL, "--actor", OPERATOR, "--yes")
    after = [decisions.decide(question, Actor.system()).decision for question in asked]
    assert not any(decision.allowed for decision in after)
    # An id that names nobody still finds its opt-out; one made of the name is gone.
    assert (after[-1].reason, after[-2].reason) == ("member_opted_out", "unknown_organization")


def test_erase__without_yes__says_what_would_go(cast: Cast) -> None:
    with changes_nothing():
        result = run("erase_person", EMAIL, "--actor", OPERATOR)
    assert (result.code, "3 memberships" in result.out, "--yes" in result.out) == (0, True, True)
    told = run("erase_person", EMAIL, "--actor", OPERATOR, "--yes", "--format", "json").json
    assert told["erased"] is True and told["memberships"] == 3


def test_erase__reason_that_names_them__said(cast: Cast) -> None:
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=Member.objects.get(user__email=EMAIL,
        organization=cast.labs), choice="opted_out", actor=cast.provider, source="admin", reason=f"{NAME} called.",
    )  # fmt: skip
    result = run("erase_person", EMAIL, "--actor", OPERATOR, "--yes")
    assert "1 event of the ledger name" in result.out


@pytest.mark.parametrize("argv", [("nobody@feathers.example", "--actor", OPERATOR), (EMAIL, "--actor", EMAIL)])
def test_erase__nobody_or_by_nobody__refused(cast: Cast, argv: tuple[str, ...]) -> None:
    with changes_nothing():
        assert run("erase_person", *argv, "--yes").code != 0


def test_erase__last_owner__refused_by_name(cast: Cast) -> None:
    with changes_nothing():
        result = run("erase_person", cast.owner.email, "--actor", OPERATOR, "--yes")
    assert result.code != 0 and "Kvasir Labs" in result.err


def test_erase__last_owner_of_a_closed_account__erased_and_the_account_left_as_it_is(cast: Cast) -> None:
    for each in Organization.objects.filter(members__user=cast.owner):
        organizations.close_organization(organization=each, actor=cast.provider, source="admin", reason="Gone")
    assert run("erase_person", cast.owner.email, "--actor", OPERATOR, "--yes").code == 0
    left = Member.objects.get(organization=cast.labs, user=cast.owner)
    assert (left.role, left.has_left, left.user.name) == ("owner", False, "")
    assert left.user.email.endswith("@erased.invalid")


def test_erase__file_under_way__refused(cast: Cast) -> None:
    ImportFileFactory(table="members", name="members.csv", uploaded_by=cast.operator, created_at=0)
    with changes_nothing():
        result = run("erase_person", EMAIL, "--actor", OPERATOR, "--yes")
    assert result.code != 0 and "being imported" in result.err


def test_erase_service__own_self_unknown_and_not_an_operator(cast: Cast) -> None:
    operator = Actor.from_user(cast.operator, confirmed=True)
    with refusal(Refused, "self"):
        erasure.erase_person(person=cast.operator, actor=operator)
    with refusal(Invalid, "unknown_person", "email"):
        erasure.find_person("nobody@feathers.example")
    with refusal(Forbidden):
        erasure.erase_person(person=erasure.find_person(EMAIL), actor=Actor.from_user(cast.owner, confirmed=True))


def test_erase__again_and_coming_back__a_new_person(cast: Cast) -> None:
    run("erase_person", EMAIL, "--actor", OPERATOR, "--yes")
    assert run("erase_person", EMAIL, "--actor", OPERATOR, "--yes").code != 0
    old = Organization.objects.get(name="Erased person")
    assert old.is_closed and not LogEntry.objects.filter(object_repr__icontains="canary").exists()
    again = members.add_member(organization=cast.labs, email=EMAIL, actor=cast.provider, source="admin")
    assert again.user.check_password(PASSWORD) is False
    assert apps.get_model("mfa", "Authenticator").objects.filter(user=again.user).count() == 0
