"""Pages, cards, API and decisions agree about each setting, for every reader and in every state."""

import dataclasses
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import decisions
from consent.models import PrivacySetting
from consent.services import choices, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key

pytestmark = pytest.mark.slow

IN, OUT = "opted_in", "opted_out"


@dataclasses.dataclass
class Place:
    """An organization with a member of its own whose cards are read, and all who can write its settings."""

    cast: Cast
    organization: Organization
    owner: Member
    member: Member

    def choose(self, choice: str, who: str) -> None:
        on_phone = who in ("member", "app", "operator for the member")
        actor = {
            "owner": Actor.from_user(self.owner.user, confirmed=True),
            "member": Actor.from_user(self.member.user, confirmed=True),
            "operator": Actor.from_user(self.cast.operator, confirmed=True),
            "operator for the member": Actor.from_user(self.cast.operator, confirmed=True),
        }.get(who) or Actor.from_key(
            issue_key(
                "Nightly job" if who == "key" else "App",
                ["consent:write"] if who == "key" else ["consent:member"],
                organization=self.organization if who == "key" else None,
                issued_by=self.owner.user if who == "key" else None,
            )[0]
        )
        sources = {"key": "api", "app": "ios", "owner": "console", "member": "data_controls"}
        choices.choose(
            surface=LE_CHAT_MOBILE if on_phone else LE_CHAT_CONSOLE,
            organization=Organization.objects.get(pk=self.organization.pk),
            member=self.member if on_phone else None,
            choice=choice,
            actor=actor,
            source=sources.get(who, "admin"),
            reason="asked for",
            version_required=False,
        )

    def provider(self, service: Any, **more: Any) -> None:
        service(organization=self.organization, actor=self.cast.provider, source="admin", **more)


def _plan(key: str) -> Any:
    return lambda place: place.provider(plans.subscribe, plan=plans.get_plan(key))


def _chosen(choice: str, *who: str) -> Any:
    return lambda place: [place.choose(choice, each) for each in who]


def _closed(place: Place) -> None:
    place.provider(organizations.close_organization, reason="over")


def _carried(place: Place) -> None:
    _plan("le_chat_teams")(place)
    _plan("le_chat_pro")(place)


STATES: dict[str, Any] = {
    "default": lambda place: None,
    "out by default": _plan("le_chat_teams"),
    "out by the owner": _chosen(OUT, "owner"),
    "in by the owner": _chosen(IN, "owner"),
    "out by the operator": _chosen(OUT, "operator"),
    "in by the operator": _chosen(IN, "operator"),
    "out by a key": _chosen(OUT, "key"),
    "in by a key": _chosen(IN, "key"),
    "out by the member": _chosen(OUT, "member"),
    "in by the member": _chosen(IN, "member"),
    "out by the app": _chosen(OUT, "app"),
    "out for the member by the operator": _chosen(OUT, "operator for the member"),
    "out by the member, in by the operator": lambda place: (place.choose(OUT, "member"), place.choose(IN, "operator")),
    "carried over": _carried,
    "locked": lambda place: place.provider(locks.place_lock, product="le_chat", reason="law", reference="L-1"),
    "closed": _closed,
    "no subscription": lambda place: place.provider(plans.end_subscription, product="le_chat"),
}


def make(cast: Cast, kind: str) -> Place:
    frida = UserFactory(email="frida@mail.example", name="Frida Ek")
    draft = OrganizationDraft(
        name="Frida Ek" if kind == "personal" else "Saga Institute",
        kind=kind,
        owner=(frida.email, frida.name) if kind == "personal" else None,
        subscriptions=[plans.get_plan("le_chat_pro")],
    )
    made = organizations.create_organization(draft=draft, actor=cast.provider, source="admin")
    if kind == "team":
        MemberFactory(organization=made, user=frida, role="owner", actor=cast.provider)
        MemberFactory(organization=made, user=UserFactory(email="tor@mail.example", name="Tor Li"), actor=cast.provider)
    own = list(Member.objects.filter(organization=made).select_related("organization", "user").order_by("pk"))
    return Place(cast, made, own[0], own[-1])


def page(person: User, url: str) -> str:
    client = Client()
    client.force_login(person)
    answer = client.get(url)
    assert answer.status_code == 200, url
    return re.sub(r"\s+", " ", answer.content.decode().replace("&amp;", "&").replace("&#x27;", "'"))


def effective(text: str, html_id: str) -> str:
    """What a page says of the setting with this id."""
    found = re.search(rf'id="{html_id}-said".*?data-effective="(\w+)"', text)
    assert found, html_id
    return found[1]


def sentence(text: str, html_id: str) -> str:
    found = re.search(rf'id="{html_id}-said".*?<p class="why">(.*?)</p>', text)
    assert found, html_id
    return found[1]


def stands(person: User, url: str) -> tuple[str, str]:
    """(effective, sentence) of the row that leads to this URL, on the help page."""
    found = re.search(
        rf'<a href="{re.escape(url)}">.*?data-effective="(\w+)">(.*?)</span>', page(person, "/help/opt-out/")
    )
    assert found, url
    return found[1], found[2]


def tells_the_default(text: str, html_id: str, organization: Organization) -> bool:
    """Whether a card says what the plan's default is, in its sentence or beside it, as decisions apply it."""
    setting = PrivacySetting.objects.of_organizations().get(organization=organization, product="le_chat")
    card = text[text.index(f'id="{html_id}-said"') :].partition('class="actions muted"')[0]
    found = re.search(r"(?:default of Le Chat \w+|The plan's default): (not used|used)", card)
    if found is None:
        return "is opted out by default" in card and setting.applied_default == OUT
    return (found[1] == "used") is (setting.applied_default == IN)


def decided(place: Place) -> tuple[bool, str]:
    """As the provider asks about the member whose cards are read."""
    question = decisions.Question(str(place.organization.pk), "le_chat", str(place.member.pk))
    decision = decisions.decide(question, place.cast.provider).decision
    return decision.allowed, decision.reason.value


def api(person: User, url: str) -> dict[str, Any]:
    client = Client()
    client.force_login(person)
    found: dict[str, Any] = client.get(f"/api/v1/{url}").json()
    return found


@pytest.mark.parametrize("state", STATES)
def test_personal__page_card_api_and_decision__say_the_same(cast: Cast, state: str) -> None:
    place = make(cast, "personal")
    STATES[state](place)
    allowed, reason = decided(place)
    expected = IN if allowed else OUT
    frida, pk = place.owner.user, place.organization.pk
    le_chat = page(frida, reverse("console:le-chat", args=[pk]))
    cards = page(frida, reverse("console:data-controls"))
    overview = page(frida, reverse("console:overview", args=[pk]))
    said = sentence(le_chat, "setting-le_chat_console")
    assert effective(le_chat, "setting-le_chat_console") == expected
    assert effective(cards, f"setting-{place.member.pk}") == expected
    assert sentence(cards, f"setting-{place.member.pk}") == said
    assert said in overview
    for text, html_id in ((le_chat, "setting-le_chat_console"), (cards, f"setting-{place.member.pk}")):
        assert tells_the_default(text, html_id, place.organization) is (state != "no subscription")
    for url in (f"/o/{pk}/le-chat/#setting-le_chat_console", f"/settings/data-controls/#setting-{place.member.pk}"):
        assert stands(frida, url) == (expected, said)
    # One person reads nothing about an organization and everyone in it.
    privacy = page(frida, reverse("console:privacy", args=[pk]))
    for shown in (cards, le_chat, privacy, page(frida, reverse("console:opt-out-help"))):
        content = shown[shown.index("<main") :].lower()
        assert "our organization" not in content and "the organization" not in content and "whole" not in content
    one = api(frida, f"organizations/{pk}/privacy-settings/le_chat_console/")
    two = api(frida, f"organizations/{pk}/members/{place.member.pk}/privacy-settings/le_chat_mobile/")
    for found in (one, two):
        assert (found["effective"], found["reason"]) == (expected, reason)
    told = ("choice", "effective", "reason", "since", "locked", "changed_at", "changed_by", "event")
    assert [one[name] for name in told] == [two[name] for name in told]
    admin = page(cast.operator, f"/admin/accounts/organization/{pk}/change/")
    assert effective(admin, "setting-le_chat_console") == expected
    member = page(cast.operator, f"/admin/accounts/member/{place.member.pk}/change/")
    assert re.search(r'data-effective="(\w+)"', member)[1] == expected  # type: ignore[index]
    names_whoever_did_it(state, said, personal=True)


@pytest.mark.parametrize("state", STATES)
def test_team__card_api_and_decision__say_the_same_and_the_organizations_page_tells_no_member(
    cast: Cast, state: str
) -> None:
    place = make(cast, "team")
    STATES[state](place)
    allowed, reason = decided(place)
    tor, pk = place.member.user, place.organization.pk
    cards = page(tor, reverse("console:data-controls"))
    assert effective(cards, f"setting-{place.member.pk}") == (IN if allowed else OUT)
    mine = api(tor, f"organizations/{pk}/members/{place.member.pk}/privacy-settings/le_chat_mobile/")
    assert (mine["effective"], mine["reason"]) == (IN if allowed else OUT, reason)
    said = sentence(cards, f"setting-{place.member.pk}")
    names_whoever_did_it(state, said, personal=False)
    assert tells_the_default(cards, f"setting-{place.member.pk}", place.organization) is (state != "no subscription")
    assert stands(tor, f"/settings/data-controls/#setting-{place.member.pk}") == (IN if allowed else OUT, said)
    # The organization's own page is about its own layer, as it is for a member who chose nothing.
    other = Member.objects.select_related("user").get(pk=place.owner.pk)
    question = decisions.Question(str(pk), "le_chat", str(other.pk))
    own = decisions.decide(question, Actor.from_user(other.user)).decision
    for reader in (place.owner.user, cast.operator):
        le_chat = page(reader, reverse("console:le-chat", args=[pk]))
        assert effective(le_chat, "setting-le_chat_console") == (IN if own.allowed else OUT)
        found = api(reader, f"organizations/{pk}/privacy-settings/le_chat_console/")
        assert (found["effective"], found["reason"]) == (IN if own.allowed else OUT, own.reason.value)
        said = sentence(le_chat, "setting-le_chat_console")
        assert said in page(reader, reverse("console:overview", args=[pk]))
        if reader == place.owner.user:
            url = f"/o/{pk}/le-chat/#setting-le_chat_console"
            assert stands(reader, url) == (IN if own.allowed else OUT, said)


def names_whoever_did_it(state: str, said: str, *, personal: bool) -> None:
    """Who it says did it is who did."""
    if "operator" in state and not state.startswith("out by the member"):
        if state.startswith("in") and not personal:
            return  # a team's member is told that their organization allows it
        assert "the provider" in said.lower(), said
    elif state in ("out by the app", "out by the member", "out by the member, in by the operator") and personal:
        place = "on your phone" if "app" in state else "in Data & Account Controls"
        assert f"You turned data sharing off {place}" in said
    elif state.endswith("by the owner") and personal:
        assert "in the Admin Console" in said and "You" in said
    elif state.endswith("by a key") and personal:
        assert "Nightly job" in said
    assert "the provider" not in said.lower() or "operator" in state, said


def test_team__member_who_left__card_api_and_decision_say_the_same(cast: Cast) -> None:
    place = make(cast, "team")
    members.remove_member(member=place.member, actor=cast.provider, source="admin")
    assert decided(place) == (False, "member_left")
    tor = place.member.user
    cards = page(tor, reverse("console:data-controls"))
    assert effective(cards, f"setting-{place.member.pk}") == OUT
    assert "You have left Saga Institute" in sentence(cards, f"setting-{place.member.pk}")


def test_opt_out_everywhere__what_a_team_decides__said_by_name(cast: Cast) -> None:
    choices.choose(
        surface=AI_STUDIO_CONSOLE, organization=cast.labs, choice=IN, reason="asked for", version_required=False,
        actor=Actor.from_user(cast.owner, confirmed=True), source="console",
    )  # fmt: skip
    client = Client()
    client.force_login(cast.member)
    answer = client.post(reverse("console:opt-out-everywhere"), follow=True)
    text = answer.content.decode()
    assert "none of your data is used" not in text
    assert "From now on none of your Le Chat data is used for training." in text
    assert "Kvasir Labs decides about its AI Studio and API data." in text
    question = decisions.Question(str(cast.labs.pk), "ai_studio", str(cast.labs_member.pk))
    assert decisions.decide(question, cast.provider).decision.allowed


def test_opt_out_everywhere__nothing_else_is_used__none_of_it(cast: Cast) -> None:
    place = make(cast, "personal")
    client = Client()
    client.force_login(place.owner.user)
    text = client.post(reverse("console:opt-out-everywhere"), follow=True).content.decode()
    assert "From now on none of your data is used for training." in text
