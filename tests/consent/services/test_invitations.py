"""Invitations: only people with the right send them; only the invited person accepts one, once, before it expires."""

import datetime as dt
import re
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.access import Actor, Forbidden
from accounts.models import Invitation, Member, OutgoingMessage, User
from consent.errors import Invalid, Refused
from consent.models import ConsentEvent
from consent.services import invitations, members, organizations
from tests.support.asking import confirm
from tests.support.callers import Caller
from tests.support.cast import Cast
from tests.support.console import signed_in
from tests.support.factories import PASSWORD, MemberFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
NEW = "new@kvasir.example"


def invite(cast: Cast, email: str = NEW, role: str = "member") -> str:
    """The path of the link that is sent."""
    signed_in(cast, "owner").post(
        f"/o/{cast.labs.pk}/members/", {"do": "invite", "email": email, "role": role}
    )  # fmt: skip
    return link_to(email)


def link_to(email: str) -> str:
    message = OutgoingMessage.objects.filter(recipient=email).latest("pk")
    found = re.search(r"http://testserver(/invitations/[\w-]+/)", message.body)
    assert found
    return found[1]


# --- Accepting ------------------------------------------------------------------------------------------------------


def test_accept__new_person__has_an_account_is_signed_in_and_belongs(cast: Cast) -> None:
    path, client = invite(cast, role="admin"), Client()
    page = client.get(path).content.decode()
    assert "Join Kvasir Labs" in page and "Ada Lindqvist" in page
    answer = client.post(path, {"name": "Nils Ny", "password": PASSWORD})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    member = Member.objects.get(user__email=NEW)
    assert (member.user.name, member.role, member.organization) == ("Nils Ny", "admin", cast.labs)
    assert client.get(f"/o/{cast.labs.pk}/").status_code == 200
    event = ConsentEvent.objects.filter(kind="member.joined").latest("pk")
    # Joining is the person's own act (R19); who invited stands with the invitation.
    assert (event.actor_type, event.actor_id, event.by_operator) == ("user", str(member.user_id), False)
    assert event.member_id == member.pk
    told = ConsentEvent.objects.filter(pk__gt=event.pk).order_by("pk")
    assert [(each.kind, each.organization, each.actor_id) for each in told] == [
        ("access.password_set", None, str(member.user_id)),
        ("access.invitation_accepted", cast.labs, str(member.user_id)),
    ]
    assert Client().get(path).status_code == 404  # used up


def test_accept__weak_password__nobody_joins(cast: Cast) -> None:
    path = invite(cast)
    with changes_nothing():
        answer = Client().post(path, {"name": "Nils Ny", "password": "password1234"})
    assert answer.status_code == 400 and "too common" in answer.content.decode()


def test_accept__known_person__signs_in_first(cast: Cast) -> None:
    path, client = invite(cast, cast.outsider.email), Client()
    assert client.get(path)["Location"] == f"/sign-in/?next={path}"
    with changes_nothing():
        client.post(path, {"name": "x", "password": PASSWORD})
    client.force_login(cast.outsider)
    assert client.post(path).status_code == 302
    assert Member.objects.filter(user=cast.outsider, organization=cast.labs).exists()


def test_accept__signed_in_as_another__refused(cast: Cast) -> None:
    path = invite(cast)
    client = signed_in(cast, "outsider")
    assert "Sign out, then open the link again" in client.get(path).content.decode()
    with changes_nothing():
        assert client.post(path).status_code == 409


def test_accept__imported_person_without_a_password__gets_one(cast: Cast) -> None:
    members.add_member(organization=cast.brage, email=NEW, name="Nils", actor=cast.provider, source="admin")
    path, client = invite(cast), Client()
    client.post(path, {"name": "Other", "password": PASSWORD})
    user = User.objects.get(email=NEW)
    assert user.check_password(PASSWORD) and user.name == "Nils"


def test_accept__inactive_person__not(cast: Cast) -> None:
    User.objects.filter(pk=cast.outsider.pk).update(is_active=False)
    path = invite(cast, cast.outsider.email)
    with changes_nothing():
        Client().post(path, {"name": "x", "password": PASSWORD})


@pytest.mark.parametrize("what", ["too late", "withdrawn", "nonsense", "inviter left", "closed"])
def test_accept__ended__nobody_joins(cast: Cast, what: str) -> None:
    path = invite(cast)
    match what:
        case "too late":
            Invitation.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
        case "withdrawn":
            invitations.withdraw(
                source="console", invitation=Invitation.objects.get(), actor=Actor.from_user(cast.owner, confirmed=True)
            )
        case "nonsense":
            path = "/invitations/nonsense/"
        case "inviter left":
            member = Member.objects.get(user=cast.admin)
            members.update_member(member=member, actor=cast.provider, source="admin", role="owner")
            members.remove_member(
                member=Member.objects.get(user=cast.owner), actor=cast.provider, source="admin"
            )  # fmt: skip
        case "closed":
            organizations.close_organization(
                organization=cast.labs, actor=cast.provider, source="admin", reason="x"
            )  # fmt: skip
    with changes_nothing():
        assert Client().post(path, {"name": "Nils", "password": PASSWORD}).status_code in (404, 409)


# --- Sending --------------------------------------------------------------------------------------------------------


def test_invite__again__the_earlier_link_ends(cast: Cast) -> None:
    first = invite(cast)
    second = invite(cast, role="auditor")
    assert Client().get(first).status_code == 404
    assert Client().get(second).status_code == 200
    assert Invitation.objects.get().role == "auditor"


def test_invite__secret__only_its_hash_is_kept(cast: Cast) -> None:
    secret = invite(cast).split("/")[2]
    assert invitations.find(secret) is not None
    assert secret not in str(list(Invitation.objects.values_list()))


@pytest.mark.parametrize("role", ["auditor", "member"])
def test_invite__without_the_right__forbidden_and_nothing_sent(cast: Cast, role: str) -> None:
    client = signed_in(cast, role)
    with changes_nothing():
        answer = client.post(
            f"/o/{cast.labs.pk}/members/", {"do": "invite", "email": NEW, "role": "member"}
        )  # fmt: skip
    assert answer.status_code == 403
    with refusal(Forbidden), changes_nothing():
        invitations.invite(
            source="console",
            organization=cast.labs,
            email=NEW,
            role="member",
            actor=Actor.from_user(getattr(cast, role), confirmed=True),
            link=str,
        )


@pytest.mark.parametrize(
    ("email", "role", "status"), [("nonsense", "member", 400), (NEW, "king", 400), ("bo@kvasir.example", "member", 409)]
)
def test_invite__what_can_not_be__named_and_nothing_sent(cast: Cast, email: str, role: str, status: int) -> None:
    client = signed_in(cast, "owner")
    with changes_nothing():
        answer = client.post(
            f"/o/{cast.labs.pk}/members/", {"do": "invite", "email": email, "role": role}
        )  # fmt: skip
    assert answer.status_code == status


def test_invite__too_many_in_an_hour__refused(cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr(invitations, "PER_HOUR", 2)
    actor = Actor.from_user(cast.owner, confirmed=True)
    for number in range(2):
        invitations.invite(
            source="console", organization=cast.labs, email=f"{number}{NEW}", role="member", actor=actor, link=str
        )
    with refusal(Refused, "too_many"):
        invitations.invite(source="console", organization=cast.labs, email=NEW, role="member", actor=actor, link=str)


def test_invite__personal_organization__refused(cast: Cast) -> None:
    draft = organizations.OrganizationDraft(name="Ida", kind="personal", owner=("ida@ida.example", "Ida"))
    ida = organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    owner = Actor.from_user(User.objects.get(email="ida@ida.example"), confirmed=True)
    with refusal(Refused, "personal"), changes_nothing():
        invitations.invite(source="console", organization=ida, email=NEW, role="member", actor=owner, link=str)
    with refusal(Invalid, "unknown_role", "role"):
        invitations.invite(
            source="console",
            organization=cast.labs,
            email=NEW,
            role="king",
            actor=Actor.from_user(cast.owner, confirmed=True),
            link=str,
        )


def test_accept__service__other_persons_and_weak(cast: Cast) -> None:
    invite(cast)
    invitation = Invitation.objects.get()
    with refusal(Refused, "not_yours"), changes_nothing():
        invitations.accept(invitation=invitation, user=cast.outsider)
    assert invitations.account_of(invitation) is None


# --- Whether somebody is known --------------------------------------------------------------------------------------


def nobody(_cast: Cast, _email: str) -> None:
    pass


def elsewhere(cast: Cast, email: str) -> None:
    person = UserFactory(email=email, name="Nils Ny")
    MemberFactory(organization=cast.brage, user=person, role="admin", actor=cast.provider)


def imported(cast: Cast, email: str) -> None:
    members.add_member(organization=cast.brage, email=email, name="Nils", actor=cast.provider, source="admin")


def operator(_cast: Cast, email: str) -> None:
    UserFactory(email=email, name="Nils Ny", operator=True)


def deactivated(_cast: Cast, email: str) -> None:
    UserFactory(email=email, name="Nils Ny", is_active=False)


def left(cast: Cast, email: str) -> None:
    person = UserFactory(email=email, name="Nils Ny")
    member = MemberFactory(organization=cast.labs, user=person, actor=cast.provider)
    members.remove_member(member=member, actor=cast.provider, source="admin")


@pytest.mark.parametrize("known", [elsewhere, imported, operator, deactivated, left])
@pytest.mark.parametrize("by", ["owner's page", "owner's API", "key"])
def test_invite__whoever_has_an_account__same_answer_same_work_same_mail(cast: Cast, known: Any, by: str) -> None:
    """The same number of statements too: no path is longer for those who are known."""
    text = issue_key("Sync", ["organizations:write"], organization=cast.labs, issued_by=cast.admin)[1]
    clients = {
        "key": Caller(Client(), {"Authorization": f"Bearer {text}"}),
        "owner's API": Caller(signed_in(cast, "owner")),
    }
    told: list[tuple[Any, ...]] = []
    with time_machine.travel(timezone.now(), tick=False):  # the first write of a window of time costs more
        # The first warms what is looked up once in a process.
        for standing, email in (
            (nobody, "one@mail.example"),
            (nobody, "two@mail.example"),
            (known, "six@mail.example"),
        ):
            standing(cast, email)
            OutgoingMessage.objects.all().delete()
            with CaptureQueriesContext(connection) as queries:
                if by in clients:
                    sent = {"email": email, "name": "N", "role": "member"}
                    answer = clients[by].post(f"organizations/{cast.labs.pk}/members/", sent)
                else:
                    form = {"do": "invite", "email": email, "role": "member"}
                    answer = signed_in(cast, "owner").post(f"/o/{cast.labs.pk}/members/", form)
            shown = answer.content.decode()
            for each in (*Invitation.objects.filter(email=email).values_list("pk", flat=True), email):
                shown = shown.replace(str(each), "…")
            mails = [(each.recipient == email, each.subject) for each in OutgoingMessage.objects.all()]
            instants = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "…", shown)
            told.append((answer.status_code, instants, mails, len(queries)))
    assert told[1] == told[2]


# --- Members on their page ------------------------------------------------------------------------------------------


def test_members__role_changed_and_removed__with_events(cast: Cast) -> None:
    client, member = signed_in(cast, "admin"), cast.labs_member
    page = f"/o/{cast.labs.pk}/members/"
    confirm(client, page, {"do": "role", "member": str(member.pk), "role": "auditor"})
    member.refresh_from_db()
    assert member.role == "auditor"
    confirm(client, page, {"do": "remove", "member": str(member.pk)})
    member.refresh_from_db()
    assert member.has_left
    kinds = list(ConsentEvent.objects.order_by("-pk").values_list("kind", flat=True)[:2])
    assert kinds == ["member.left", "member.role_changed"]


@pytest.mark.parametrize("do", ["remove", "role"])
def test_members__last_owner__stays(cast: Cast, do: str) -> None:
    owner = Member.objects.get(user=cast.owner)
    client = signed_in(cast, "owner")
    with changes_nothing():
        answer = client.post(
            f"/o/{cast.labs.pk}/members/", {"do": do, "member": str(owner.pk), "role": "member"}
        )  # fmt: skip
    assert answer.status_code == 409 and "at least one owner" in answer.content.decode()


@pytest.mark.parametrize("do", ["remove", "role"])
def test_members__of_another_organization__not_found(cast: Cast, do: str) -> None:
    foreign = Member.objects.get(organization=cast.brage)
    client = signed_in(cast, "owner")
    with changes_nothing():
        answer = client.post(
            f"/o/{cast.labs.pk}/members/", {"do": do, "member": str(foreign.pk), "role": "member"}
        )  # fmt: skip
    assert answer.status_code == 404


def test_members__withdraw__link_ends(cast: Cast) -> None:
    path = invite(cast)
    pk = Invitation.objects.get().pk
    foreign = signed_in(cast, "outsider").post(
        f"/o/{cast.brage.pk}/members/", {"do": "withdraw", "invitation": str(pk)}
    )  # fmt: skip
    assert foreign.status_code == 404 and Invitation.objects.exists()
    page = signed_in(cast, "admin").get(f"/o/{cast.labs.pk}/members/").content.decode()
    assert NEW in page
    signed_in(cast, "admin").post(f"/o/{cast.labs.pk}/members/", {"do": "withdraw", "invitation": str(pk)})
    assert Client().get(path).status_code == 404


def test_members__unknown_verb__400(cast: Cast) -> None:
    client = signed_in(cast, "owner")
    with changes_nothing():
        assert client.post(f"/o/{cast.labs.pk}/members/", {"do": "explode"}).status_code == 400
