"""The ledger contains ids, no names or addresses: people can be erased, and the proof stays (R14, R15)."""

from typing import Any

import pytest
from django.db import connection
from django.test import override_settings

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import ledger, triggers, verification
from consent.models import OF_NO_LAYER, ConsentEvent, EventKind
from consent.presentation import actors
from consent.services import choices, external_ids, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.factories import UserFactory
from tests.support.keys import issue_key

CANARY = "Zephyrine"


By = dict[str, Any]  # who, and on which site


@pytest.fixture
def everything_happened(db: None) -> Actor:
    """Every service, by people, organizations and keys that all have the canary in whatever names them."""
    operator = UserFactory(email=f"{CANARY}.operator@provider.example", name=f"{CANARY} Operator", operator=True)
    provider = Actor.from_user(operator, confirmed=True)
    by: By = {"actor": provider, "source": "admin"}
    personal, team = make_both(by)
    of_team = {"organization": team} | by
    owner = members.add_member(**of_team, email=f"owner.{CANARY}@example.org", name=f"{CANARY} Owner", role="owner")
    member = members.add_member(**of_team, email=f"member.{CANARY}@example.org", name=CANARY, external_id=CANARY)
    members.update_member(member=member, external_id=f"{CANARY}-2", role="admin", **by)
    choose_for_member(member, by)
    given: By = {"external_id": f"{CANARY}-2", "reason": "By mistake", **by}
    external_ids.withdraw_external_id(organization=team, member=member, **given)
    members.remove_member(member=member, **by)
    members.add_member(**of_team, email=f"member.{CANARY}@example.org")
    organizations.update_organization(**of_team, name=f"{CANARY} Works", external_id=f"{CANARY}-3", country="FR")
    organizations.update_organization(organization=personal, kind="team", **by)
    choose_for_organizations(personal, team, owner, by)
    locks.place_lock(**of_team, product="le_chat", reason="Contract", reference="C-1")
    locks.lift_lock(**of_team, product="le_chat", reason="Over")
    plans.subscribe(**of_team, plan=plans.get_plan("le_chat_free"))
    plans.end_subscription(**of_team, product="le_chat")
    organizations.close_organization(**of_team, reason="Over")
    organizations.reopen_organization(**of_team, reason="Back")
    ledger.sequence()
    return provider


def make_both(by: By) -> list[Organization]:
    return organizations.create_organizations(
        [
            OrganizationDraft(
                name=f"{CANARY} herself",
                kind="personal",
                owner=(f"{CANARY}@example.org", CANARY),
                external_id=f"{CANARY}-1",
                subscriptions=[plans.get_plan("le_chat_pro")],
                choices={"ai_studio": "opted_out"},
            ),
            OrganizationDraft(name=f"{CANARY} Labs", subscriptions=[plans.get_plan("le_chat_teams")]),
        ],
        **by,
    )


def choose_for_member(member: Member, by: By) -> None:
    """By an operator, the member and the app's backend."""
    backend = Actor.from_key(issue_key(f"{CANARY}'s backend", ["consent:member", "consent:write"])[0])
    own: By = {"surface": LE_CHAT_MOBILE, "organization": member.organization, "member": member}
    choices.choose(**own, choice="opted_out", **by)
    choices.choose(
        **own, choice="opted_out", actor=Actor.from_user(member.user, confirmed=True), source="data_controls"
    )
    choices.choose(**own, choice="opted_in", actor=backend, source="ios", version_required=False)


def choose_for_organizations(personal: Organization, team: Organization, owner: Member, by: By) -> None:
    """By an operator and the owner."""
    opt_in: By = {"surface": LE_CHAT_CONSOLE, "organization": team, "choice": "opted_in", "version_required": False}
    choices.choose(**opt_in, reason="Signed", **by)
    choices.choose(**opt_in, actor=Actor.from_user(owner.user, confirmed=True), source="console")
    for organization in (personal, team):
        choices.choose(surface=AI_STUDIO_CONSOLE, organization=organization, choice="opted_out", **by)


def test_ledger__after_every_service__no_column_holds_a_name_or_an_address(everything_happened: Actor) -> None:
    kinds = set(ConsentEvent.objects.values_list("kind", flat=True))
    assert kinds - OF_NO_LAYER == set(EventKind.values) - OF_NO_LAYER - {
        EventKind.CHOICE_RESTORED,  # of jobs, whose events have no text but the reason
        EventKind.PLAN_DEFAULT_CHANGED,
        EventKind.SINCE_ATTESTED,
        EventKind.SINCE_RESTARTED,  # of a restored database that is adopted
        EventKind.EXTERNAL_ID_REBOUND,
        EventKind.MEMBER_UPDATED,  # of before external ids were dated
    }
    with connection.cursor() as cursor:
        for table in (triggers.LEDGER, triggers.POSITION, "consent_privacysetting"):
            cursor.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    assert CANARY.lower() not in str(value).lower(), column
                    assert "@" not in str(value), column
    assert verification.verify().problems == []


def test_labels__person_and_key_are_erased__events_stay_and_say_so(everything_happened: Actor) -> None:
    named = [f"{CANARY} Operator", f"{CANARY} Owner", f"API key {CANARY}'s backend"]
    labels = actors.labels(ConsentEvent.objects.all(), everything_happened)
    assert all(any(name in label for label in labels.values()) for name in named)
    before = list(ConsentEvent.objects.order_by("pk").values())
    for n, person in enumerate(User.objects.all()):
        person.name, person.email = "", f"erased-{n}@erased.invalid"
        person.save()
    for label in actors.labels(ConsentEvent.objects.exclude(actor_type="api_key"), everything_happened).values():
        assert CANARY not in label
    assert list(ConsentEvent.objects.order_by("pk").values()) == before
    assert verification.verify().problems == []


def test_labels__actor_who_is_no_longer_there__named_as_such(everything_happened: Actor) -> None:
    event = ConsentEvent.objects.filter(actor_type="user").latest("pk")
    event.actor_id = "01890000-0000-7000-8000-000000000000"
    assert actors.labels([event], everything_happened) == {event.pk: "a removed user"}
    for actor_type, told in (("api_key", "a removed API key"), ("command", "a command"), ("system", "the system")):
        event.actor_type = actor_type
        assert actors.labels([event], everything_happened) == {event.pk: told}


@override_settings(PROVIDER_NAME="the Provider")
def test_labels__seen_by_the_organization__provider_is_named_and_not_its_people(everything_happened: Actor) -> None:
    owner = Actor.from_user(User.objects.get(email=f"owner.{CANARY}@example.org".lower()), confirmed=True)
    events = list(ConsentEvent.objects.visible_to(owner))
    labels = actors.labels(events, owner)
    assert {labels[event.pk] for event in events if event.by_operator} == {"The Provider"}
    assert {labels[event.pk] for event in events if not event.by_operator} == {f"{CANARY} Owner"}


def test_members_of_the_ledger__one_row_per_person_and_organization(everything_happened: Actor) -> None:
    pairs = list(Member.objects.values_list("organization_id", "user_id"))
    assert len(pairs) == len(set(pairs))
    joined = ConsentEvent.objects.filter(kind="member.joined").values_list("member_id", flat=True)
    assert len(joined) == len(set(joined)) + 1, "one of them joined twice, as the same member"


def test_events__seen_by_an_organization__without_its_members_own_choices(everything_happened: Actor) -> None:
    owner = User.objects.get(email=f"owner.{CANARY}@example.org".lower())
    seen = ConsentEvent.objects.visible_to(Actor.from_user(owner, confirmed=True))
    assert seen.exists()
    assert not seen.filter(member__isnull=False, kind__startswith="choice.").exists()
    assert set(seen.values_list("organization__name", flat=True)) == {f"{CANARY} Works"}
    assert ConsentEvent.objects.visible_to(everything_happened).count() == ConsentEvent.objects.count()
