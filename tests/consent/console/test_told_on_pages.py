"""On the console's pages: the number of an opt-out, the provider's acts until seen, History, and the statement."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from accounts.access import Actor
from accounts.models import Member
from consent import ledger
from consent.models import ActsSeen, ConsentEvent, ProviderAct
from consent.projections import runner
from consent.services import locks, plans
from tests.support.cast import Cast, signed_in, subscribe
from tests.support.choices import IN, OUT, choose, opt_out_as_member
from tests.support.factories import MemberFactory, OrganizationFactory, UserFactory

pytestmark = pytest.mark.django_db


def told() -> None:
    ledger.sequence()
    runner.catch_up("notices")


def text(client: Client, url: str, **filters: str) -> str:
    return " ".join(client.get(url, filters).content.decode().split())


@pytest.fixture
def owner(cast: Cast) -> Client:
    """Ada, who has seen all that the provider did so far, as have the others."""
    told()
    for member in Member.objects.filter(organization=cast.labs):
        ActsSeen.objects.create(member=member, position=ledger.head())
    return signed_in(cast.owner.email)


def lock(cast: Cast, reason: str = "A court") -> None:
    by: dict[str, Any] = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    locks.place_lock(product="le_chat", reason=reason, reference="7", **by)
    told()


# --- The confirmation of an opt-out -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["le-chat", "data-controls"])
def test_opt_out__one_click__says_date_and_number_which_the_history_and_the_card_show(cast: Cast, page: str) -> None:
    if page == "le-chat":
        client, url = signed_in(cast.owner.email), f"/o/{cast.labs.pk}/le-chat/"
        answer = client.post(url, {"choice": OUT}, follow=True).content.decode()
    else:
        client = signed_in(cast.member.email)
        url = f"/settings/data-controls/{cast.labs_member.pk}/"
        answer = client.post(url, {"choice": OUT}, follow=True).content.decode()
    event = ConsentEvent.objects.latest("pk")
    assert f"number {event.pk}." in answer and "Saved on " in answer
    assert f"<dt>Number of the choice</dt><dd>{event.pk}</dd>" in answer
    if page == "le-chat":
        assert f"number {event.pk}<" in text(client, f"/o/{cast.labs.pk}/history/")


def test_opt_out_everywhere__says_the_number_of_each(cast: Cast) -> None:
    answer = signed_in(cast.member.email).post("/settings/data-controls/opt-out/", follow=True).content.decode()
    assert f"number {ConsentEvent.objects.latest('pk').pk}." in answer


# --- The note on the provider's acts ----------------------------------------------------------------------------------


def test_note__founding_of_an_account_and_what_its_own_people_do__is_none(cast: Cast, owner: Client) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    told()
    assert not ProviderAct.objects.exclude(event__kind="member.joined").exists()
    assert "The provider changed" not in text(owner, f"/o/{cast.labs.pk}/")


def test_note__provider_locks__each_person_sees_it_until_seen__and_members_and_operators_do_not(
    cast: Cast, owner: Client
) -> None:
    url = f"/o/{cast.labs.pk}/"
    lock(cast)
    page = text(owner, url)
    assert "The provider changed something for Kvasir Labs" in page and "A court" in page
    assert "Not used for training from then on." in page and "?by=provider" in page
    position = ProviderAct.objects.latest("position").position
    answer = owner.post(f"{url}history/seen/", {"position": position, "next": f"{url}members/"})
    assert (answer.status_code, answer["Location"]) == (302, f"{url}members/")
    assert "The provider changed" not in text(owner, url)
    assert "The provider changed" in text(signed_in(cast.auditor.email), url)
    assert "The provider changed" not in text(signed_in(cast.operator.email), url)
    lock_again = plans.get_plan("le_chat_teams")
    plans.subscribe(organization=cast.labs, plan=lock_again, actor=cast.provider, source="admin")
    told()
    assert "Le Chat Teams" in text(owner, url)


def test_note__newest_few_and_the_rest_in_history__and_nothing_from_before_one_joined(
    cast: Cast, owner: Client
) -> None:
    for plan in ("le_chat_teams", "le_chat_pro", "le_chat_teams", "le_chat_pro"):
        subscribe(cast.labs, plan, cast.provider)
    told()
    page = text(owner, f"/o/{cast.labs.pk}/")
    assert page.count("Plan changed") >= 3 and "There is more: all of it in History" in page
    late = UserFactory()
    MemberFactory(organization=cast.labs, user=late, role="auditor", actor=cast.provider)
    told()
    assert "The provider changed" not in text(signed_in(late.email), f"/o/{cast.labs.pk}/")


def test_note__what_a_member_chose_or_an_operator_chose_for_them__is_none_of_the_organizations(cast: Cast) -> None:
    told()
    before = ProviderAct.objects.count()
    opt_out_as_member(cast)
    told()
    assert ProviderAct.objects.count() == before


def test_note__personal_account__speaks_to_one_person(cast: Cast) -> None:
    account = OrganizationFactory(name="Frida Ek", personal=True, plan="le_chat_pro", actor=cast.provider)
    told()
    subscribe(account, "le_chat_teams", cast.provider)
    told()
    person = Member.objects.get(organization=account).user
    page = text(signed_in(person.email), f"/o/{account.pk}/")
    assert "The provider changed something in your account" in page and "for Frida Ek" not in page


@pytest.mark.parametrize("position", ["", "0", "x", "-1", str(2**63)])
def test_seen__nonsense__refused_and_nothing_is_seen(cast: Cast, owner: Client, position: str) -> None:
    lock(cast)
    answer = owner.post(f"/o/{cast.labs.pk}/history/seen/", {"position": position})
    page = answer.content.decode()
    assert answer.status_code == 400 and "Not saved" in page
    assert f'action="/o/{cast.labs.pk}/history/">' in page
    assert "A court" in text(owner, f"/o/{cast.labs.pk}/")


def test_seen__next_that_is_no_path__no_error(cast: Cast, owner: Client) -> None:
    lock(cast)
    answer = owner.post(f"/o/{cast.labs.pk}/history/seen/", {"position": 1, "next": "nowhere"})
    assert answer.status_code == 302 and answer["Location"] == "nowhere"


def test_seen__beyond_the_newest_act__what_comes_later_is_shown_all_the_same(cast: Cast, owner: Client) -> None:
    lock(cast)
    answer = owner.post(f"/o/{cast.labs.pk}/history/seen/", {"position": 10**12, "next": "https://elsewhere.example/"})
    assert answer["Location"] == f"/o/{cast.labs.pk}/history/"
    subscribe(cast.labs, "le_chat_teams", cast.provider)
    told()
    assert "The provider changed" in text(owner, f"/o/{cast.labs.pk}/")


# --- History ----------------------------------------------------------------------------------------------------------


def test_history__names_the_plan_and_the_effect_of_each_event(cast: Cast, owner: Client) -> None:
    url = f"/o/{cast.labs.pk}/history/"
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    assert "Le Chat Pro · Not used for training from then on." in text(owner, url)
    subscribe(cast.labs, "le_chat_teams", cast.provider)
    assert "Le Chat Teams · No effect: you had chosen. Not used before and after." in text(owner, url)
    choose(cast, IN, Actor.from_user(cast.owner, confirmed=True), reason="The board")
    assert "Le Chat Teams · Used for training from then on." in text(owner, url)


def test_history_export__has_the_plan_and_the_effect_too(cast: Cast, owner: Client) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    lines = b"".join(owner.get(f"/o/{cast.labs.pk}/history/jsonl/").streaming_content).splitlines()  # type: ignore[attr-defined]
    newest = json.loads(lines[0])
    assert (newest["plan"], newest["effect"]) == ("le_chat_pro", "Not used for training from then on.")


def test_history__first_event_of_a_plan_that_is_out__ends_nothing(cast: Cast) -> None:
    page = text(signed_in("eli@brage.example"), f"/o/{cast.brage.pk}/history/")
    assert "Le Chat Teams · Not used before and after." in page and "from then on" not in page


def test_history__by_whom__the_provider_or_the_organization(cast: Cast, owner: Client) -> None:
    url = f"/o/{cast.labs.pk}/history/"
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    lock(cast)
    theirs, own = text(owner, url, by="provider"), text(owner, url, by="others")
    assert "A court" in theirs and "<b>Opted out</b>" not in theirs
    assert "A court" not in own.split("<table")[1] and "<b>Opted out</b>" in own
    assert owner.get(url, {"by": "nobody"}).status_code == 400


# --- The statement ----------------------------------------------------------------------------------------------------


def test_statement__says_whose_when_up_to_which_position_and_all_events_in_their_order(
    cast: Cast, owner: Client
) -> None:
    opt_out_as_member(cast)
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    event = ConsentEvent.objects.latest("pk")
    ledger.sequence()
    position = ledger.head()
    page = text(owner, f"/o/{cast.labs.pk}/history/statement/")
    assert str(cast.labs.pk) in page and f"<dt>Ledger position</dt><dd>{position}</dd>" in page
    events = ConsentEvent.objects.filter(organization=cast.labs).without_member_choices()
    assert f"<dt>Events</dt><dd>{events.count()}</dd>" in page and page.count('id="event-') == events.count()
    assert page.rindex('id="event-') == page.index(f'id="event-{event.pk}"')
    assert f"Number of the choice: {event.pk}" in page
    assert "Dag Sund, Le Chat" not in page and "Data &amp; Account Controls</td>" not in page  # R4


def test_statement__with_filters_or_too_many_events__says_so(
    cast: Cast, owner: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"/o/{cast.labs.pk}/history/statement/"
    page = text(owner, url, product="le_chat")
    assert "Only the events that match the filters" in page and "Member joined" not in page
    monkeypatch.setattr("consent.console.history.STATEMENT", 2)
    assert "<dt>Events</dt><dd>2</dd>" in (page := text(owner, url)) and "more events than fit" in page
    assert owner.get(url, {"since": "nonsense"}).status_code == 400


def test_statement__member_opts_out__its_position_does_not_move(cast: Cast, owner: Client) -> None:
    def position() -> list[str]:
        page = text(owner, f"/o/{cast.labs.pk}/history/statement/")
        return re.findall(r"<dt>Ledger position</dt><dd>(\d+)</dd>", page)

    before = position()
    opt_out_as_member(cast)
    told()
    assert position() == before != []  # R4
