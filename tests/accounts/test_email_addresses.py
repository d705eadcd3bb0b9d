"""One mailbox is one user, however its address is spelled: in API, pages and commands."""

from pathlib import Path

import pytest
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from accounts.characters import Unusable
from accounts.email_addresses import asked, normalize
from accounts.models import Invitation, Member, OutgoingMessage, User
from accounts.outbox import OutboxBackend
from consent.errors import Invalid, Refused
from consent.services import erasure, invitations, members, operator_requests
from tests.support import cast as casting
from tests.support.cast import Cast, signed_in
from tests.support.commands import database, run
from tests.support.factories import PASSWORD, UserFactory
from tests.support.imports import importer
from tests.support.operators_site import url

SPELLINGS = [
    "zed@kvasir.example", "ZED@Kvasir.Example", " zed@kvasir.example\n", "zed@kva\u017fir.example",
    "zed@\uff2b\uff56asir.example", "zed@kvasir\u3002example", "zed@\u212avasir.example",
]  # fmt: skip
FOREIGN = ["zed@m\u00fcnchen.example", "zed@mu\u0308nchen.example", "zed@XN--MNCHEN-3YA.example", "zed@MÜNCHEN.example"]
UNUSABLE = [
    "zed@kva\u00adsir.example", "z\u200bed@kvasir.example", "zed\ufe0f@kvasir.example", "zed@kvasir.example\U000e0041",
    "\uff5aed@kvasir.example", "z\u0435d@kvasir.example", '"zed"@kvasir.example', "Zed <zed@kvasir.example>",
    "zed@kvasir..example", "zed@kvasir.example.", "zed@[127.0.0.1]", "zed@kvasir", "zed@xn--a.example", "zed",
    "zed@kvasir.example,bo@kvasir.example", "zed\x00@kvasir.example", "zed\ud83d@kvasir.example",
    "z\u3164@kvasir.example", "zed@kvasir.example\x85x", "a" * 250 + "@kvasir.example",
]  # fmt: skip


@pytest.mark.parametrize("text", SPELLINGS, ids=ascii)
def test_normalize__spellings_of_one_mailbox__one(text: str) -> None:
    assert normalize(text) == asked(text) == "zed@kvasir.example"


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_normalize__domain_that_is_not_ascii__as_idna_makes_it(text: str) -> None:
    assert normalize(text) == "zed@xn--mnchen-3ya.example"


def test_normalize__sharp_s__is_not_ss_as_an_older_idna_had_it() -> None:
    assert normalize("zed@fa\u00df.example") == "zed@xn--fa-hia.example" != normalize("zed@fass.example")


@pytest.mark.parametrize("text", UNUSABLE, ids=ascii)
def test_normalize__what_is_no_address__refused(text: str) -> None:
    with pytest.raises(Unusable):
        normalize(text)
    assert "@kvasir.example" != asked(text) != "zed@kvasir.example"


@pytest.mark.thorough
@given(st.text(max_size=12), st.text(max_size=12))
def test_normalize__any_text__is_its_own_normal_form(local: str, domain: str) -> None:
    for text in (f"{local}@{domain}.example", f"zed@{domain}.example", domain):
        try:
            found = normalize(text)
        except Unusable:
            continue
        assert normalize(found) == found == found.lower() and found.isascii()


# --- On every face ----------------------------------------------------------------------------------------------------


def add(cast: Cast, email: str) -> Member:
    return members.add_member(organization=cast.labs, email=email, actor=cast.provider, source="api")


@pytest.mark.parametrize("text", SPELLINGS[1:], ids=ascii)
def test_add_member__known_mailbox__same_user(cast: Cast, text: str) -> None:
    add(cast, SPELLINGS[0])
    before = database()
    with pytest.raises(Refused, match="member already"):
        add(cast, text)
    assert database() == before
    assert User.objects.get(email=text) == User.objects.get_by_natural_key(text) == erasure.find_person(text)


@pytest.mark.parametrize("text", UNUSABLE, ids=ascii)
def test_add_member__no_address__refused_and_what_is_unseen_named(cast: Cast, text: str) -> None:
    before = database()
    with pytest.raises(Invalid) as caught:
        add(cast, text)
    assert caught.value.field == "email" and database() == before
    unseen = next((each for each in text if each in "\u00ad\u200b\ufe0f\U000e0041\x00\ud83d\u3164\x85"), "")
    assert not unseen or f"U+{ord(unseen):04X}" in str(caught.value)


@pytest.mark.parametrize("text", [SPELLINGS[3], SPELLINGS[4]], ids=ascii)
def test_every_face__another_spelling__the_user_that_is_there(cast: Cast, text: str, tmp_path: Path) -> None:
    person = add(cast, SPELLINGS[0]).user
    person.set_password(PASSWORD)
    person.save()
    operator = signed_in(cast.operator.email)
    count = User.objects.count()

    # The API: the provider adds, an owner invites.
    for client in (operator, signed_in(cast.owner.email)):
        answer = client.post(
            f"/api/v1/organizations/{cast.labs.pk}/members/",
            {"email": text, "role": "member"},
            content_type="application/json",
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "exists"), answer.content

    # Imports, the search of the admin site, commands.
    load = importer("import_members", tmp_path)
    assert load(f"organization,email\n{cast.labs.pk},{text}\n").json["unchanged"] == 1
    assert person.name in operator.get(url("accounts_user_changelist"), {"q": text}).content.decode()
    assert cast.labs.name in operator.get(url("accounts_organization_changelist"), {"q": text}).content.decode()
    assert run("erase_person", text, "--actor", cast.operator.email.upper()).code == 0

    # An operator's request is about the person who is there.
    asked_for = operator_requests.ask(kind="operator", email=text, actor=cast.provider, reason="Joins us")
    assert asked_for.subject == person

    # Signing in, and a new password.
    client = Client()
    assert client.post("/sign-in/", {"login": text, "password": PASSWORD}).status_code == 302
    OutgoingMessage.objects.all().delete()
    Client().post("/account/reset/", {"email": text})
    assert [message.recipient for message in OutgoingMessage.objects.all()] == [SPELLINGS[0]]
    assert User.objects.count() == count


def test_invitation__two_spellings__one(cast: Cast) -> None:
    def invite(email: str) -> object:
        return invitations.invite(
            organization=cast.labs, email=email, role="member", actor=casting.Actor.from_user(cast.owner), source="api",
            link=str,
        )  # fmt: skip

    for text in FOREIGN:
        invite(text)
    assert list(Invitation.objects.values_list("email", flat=True)) == ["zed@xn--mnchen-3ya.example"]
    assert Invitation.objects.filter(email=FOREIGN[0]).exists()


# --- From before ------------------------------------------------------------------------------------------------------

BEFORE = [("accounts", "0015_bindings")]


@pytest.mark.slow
def test_migration__addresses_of_before__one_spelling_and_a_twin_gets_no_mail(transactional_db: None) -> None:
    old = ["zed@m\u00fcnchen.example", "ada@kvasir.example", "ada@kva\u017fir.example", "plain@kvasir.example"]
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes("accounts")
    try:
        MigrationExecutor(connection).migrate(BEFORE)
        apps = MigrationExecutor(connection).loader.project_state(BEFORE).apps
        made = [apps.get_model("accounts", "User").objects.create(email=email, password="") for email in old]
        for email in (*old[:2], "Zed@Kvasir.example"):
            apps.get_model("accounts", "OutgoingMessage").objects.create(recipient=email, subject="s", body="b")
        MigrationExecutor(connection).migrate(latest)
    finally:
        call_command("migrate", verbosity=0)
    found = [User.objects.get(pk=each.pk).email for each in made]
    assert found == [
        "zed@xn--mnchen-3ya.example", "ada@kvasir.example", f"{made[2].pk.hex}@kvasir.example.invalid", old[3],
    ]  # fmt: skip
    sent_to = OutgoingMessage.objects.order_by("pk").values_list("recipient", flat=True)
    assert list(sent_to) == ["zed@xn--mnchen-3ya.example", "ada@kvasir.example", "zed@kvasir.example"]


@pytest.mark.parametrize(
    "typed", ["Zed@M\u00dcNCHEN.example", "zed@mu\u0308nchen.example", "zed@xn--mnchen-3ya.EXAMPLE"]
)
def test_outbox__address_however_it_was_typed__is_the_persons(db: None, typed: str) -> None:
    """Or erasing them would leave the message."""
    EmailMessage("s", "b", None, [typed], connection=OutboxBackend()).send()
    person = UserFactory(email="zed@m\u00fcnchen.example")
    assert OutgoingMessage.objects.filter(recipient=person.email).exists()
    assert OutgoingMessage.objects.filter(recipient=typed).exists()


@pytest.mark.django_db
def test_addressed__by_the_start__an_index_serves_search_and_order() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of a few rows it is cheaper to read or sort all; what can't be had otherwise is done all the same.
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    plan = User.objects.addressed("Ada@")[:10].explain()
    assert "SEARCH" in plan or "user_email_bytes" in plan
    assert "Seq Scan" not in plan and "Sort" not in plan and "TEMP B-TREE" not in plan


@pytest.mark.django_db
def test_addressed__by_the_start__in_the_order_of_code_points() -> None:
    for address in ("b@x.example", "a-b@x.example", "ab@x.example", "a@x.example", "é@x.example"):
        UserFactory(email=address)
    assert [each.email for each in User.objects.addressed("A")] == ["a-b@x.example", "a@x.example", "ab@x.example"]
    assert [each.email for each in User.objects.addressed("é")] == ["é@x.example"]
