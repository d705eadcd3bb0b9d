"""The pages of a choice on its way: on the card, in the history, on a page of its own; and who may see it (R4)."""

import re

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.models import OutgoingMessage
from consent import ledger
from consent.models import ConsentEvent
from consent.projections import runner
from consent.services import choices
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.console import CONTROLS, opted_out_by_owner, signed_in, url
from tests.support.consumers import registered, say
from tests.support.factories import OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


def text_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return re.sub(r"\s+", " ", response.content.decode())


def opted_out_by_member(cast: Cast) -> int:
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out",
        actor=Actor.from_user(cast.member, confirmed=True), source="data_controls",
    )  # fmt: skip
    ledger.sequence()
    return ConsentEvent.objects.latest("pk").pk


def opted_out(cast: Cast) -> int:
    opted_out_by_owner(cast)
    ledger.sequence()
    return ConsentEvent.objects.latest("pk").pk


def way(cast: Cast, number: int | str) -> str:
    return f"/o/{cast.labs.pk}/way/{number}/"


def own_way(number: int | str) -> str:
    return f"{CONTROLS}way/{number}/"


def test_way__of_an_organizations_choice__on_card_history_and_page(cast: Cast) -> None:
    one, two = registered(cast, "secret-one"), registered(cast, "secret-two")
    number = opted_out(cast)
    say(one)
    owner = signed_in(cast, "owner")
    line = "Saved → delivered to 1 of 2 → applied by 1 of 2"
    for page in (url(cast, "le-chat"), url(cast, "history"), url(cast, "overview")):
        shown = text_of(owner, page)
        assert line in shown and f'href="{way(cast, number)}"' in shown, page
    shown = text_of(owner, way(cast, number))
    assert "To 1 of 2 systems that use data." in shown
    assert "1 of 2 systems say that they have applied it." in shown
    assert "One says it has applied it; it is at position" in shown
    assert "All of them are to apply it by" in shown and "On its way" in shown
    say(two)
    assert "Applied everywhere" in text_of(owner, way(cast, number))
    for page in (url(cast, "le-chat"), url(cast, "history"), way(cast, number)):
        shown = text_of(owner, page)
        assert "secret-" not in shown and "data@provider.example" not in shown


def test_way__without_consumers__says_so(cast: Cast) -> None:
    number = opted_out(cast)
    shown = text_of(signed_in(cast, "owner"), way(cast, number))
    assert "No system that uses data was registered then, so there was none to deliver it to." in shown


def test_way__just_saved__is_on_the_card_that_comes_back(cast: Cast) -> None:
    registered(cast)
    owner = signed_in(cast, "owner")
    response = owner.post(url(cast, "le-chat"), {"choice": "opted_out"}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert "Saved → delivered to 0 of 1 → applied by 0 of 1" in response.content.decode()


def test_way__of_a_members_choice__is_theirs_alone(cast: Cast) -> None:
    registered(cast)
    number = opted_out_by_member(cast)
    member = signed_in(cast, "member")
    card = text_of(member, CONTROLS)
    assert "Saved → delivered to 0 of 1 → applied by 0 of 1" in card and own_way(number) in card
    assert "The way of choice number" in text_of(member, own_way(number))
    for role in ("owner", "admin", "auditor", "outsider", "operator"):
        client = signed_in(cast, role)
        assert client.get(own_way(number)).status_code == 404, role
        # The same as for a number that there is not.
        assert client.get(way(cast, number)).status_code == client.get(way(cast, 10**9)).status_code == 404, role


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 30, "1"])
def test_way__of_no_such_choice__not_found(cast: Cast, number: str) -> None:
    owner = signed_in(cast, "owner")
    assert owner.get(way(cast, number)).status_code == 404
    assert owner.get(own_way(number)).status_code == 404


def test_way__of_what_does_not_tighten__not_found(cast: Cast) -> None:
    started = ConsentEvent.objects.filter(organization=cast.labs, kind="subscription.started").earliest("pk")
    assert signed_in(cast, "owner").get(way(cast, started.pk)).status_code == 404


def test_way__of_another_organization__not_found(cast: Cast) -> None:
    number = opted_out(cast)
    outsider = signed_in(cast, "outsider")
    assert outsider.get(way(cast, number)).status_code == 404
    assert outsider.get(f"/o/{cast.brage.pk}/way/{number}/").status_code == 404


def test_way__of_one_person__from_both_pages(cast: Cast) -> None:
    registered(cast)
    person = UserFactory(email="solo@example.org", name="Solo Sand")
    owner = (person.email, person.name)
    home = OrganizationFactory(name="Solo", kind="personal", owner=owner, actor=cast.provider)
    member = home.members.get()
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=home, choice="opted_out", source="console",
        actor=Actor.from_user(person, confirmed=True),
    )  # fmt: skip
    ledger.sequence()
    client = Client()
    client.force_login(person)
    for page in (CONTROLS, f"/o/{home.pk}/le-chat/"):
        (link,) = set(re.findall(r'href="([^"]*/way/\d+/)"', client.get(page).content.decode()))
        assert "The way of choice number" in text_of(client, link)
    own = ConsentEvent.objects.filter(member=member, kind="choice.opted_out").latest("pk")
    assert client.get(own_way(own.pk)).status_code == 200
    assert client.get(f"/o/{home.pk}/way/{own.pk}/").status_code == 200


def test_mail__of_an_opt_out__leads_to_its_way(cast: Cast) -> None:
    registered(cast)
    runner.skip_to_head("notices")
    number, own = opted_out(cast), opted_out_by_member(cast)
    runner.catch_up("notices")
    bodies = {mail.recipient: mail.body for mail in OutgoingMessage.objects.filter(subject__contains="opt-out")}
    assert way(cast, number) in bodies[cast.owner.email]
    assert own_way(own) in bodies[cast.member.email]
