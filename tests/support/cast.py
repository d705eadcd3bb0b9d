"""The people and organizations of the tests, created through the services so that their history is real."""

import dataclasses
import datetime as dt

from django.db.models import QuerySet
from django.test import Client

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent.services import members, organizations, plans
from consent.services.organizations import OrganizationDraft

PASSWORD = "the password of nobody in particular"


def user(email: str, name: str, **fields: object) -> User:
    made: User = User.objects.create_user(email, PASSWORD, name=name, **fields)
    return made


def long_standing(person: User) -> User:
    """Date the person's operator status and credentials to before everything in the test."""
    then = dt.datetime(2001, 1, 1, tzinfo=dt.UTC)
    instants = {"credentials_at": then} | ({"operator_since": then} if person.is_staff else {})
    QuerySet(User).filter(pk=person.pk).update(**instants)
    person.refresh_from_db()
    return person


def signed_in(email: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(email=email))
    return client


def join(organization: Organization, person: User, role: str, actor: Actor) -> Member:
    return members.add_member(organization=organization, email=person.email, role=role, actor=actor, source="admin")


def subscribe(organization: Organization, plan: str, actor: Actor) -> None:
    plans.subscribe(organization=organization, plan=plans.get_plan(plan), actor=actor, source="admin")


@dataclasses.dataclass
class Cast:
    """Kvasir Labs (Le Chat Pro, API Scale) with one person per role, Brage (Le Chat Teams), and an operator."""

    operator: User
    owner: User
    admin: User
    auditor: User
    member: User
    outsider: User
    labs: Organization
    brage: Organization
    labs_member: Member
    provider: Actor


def make() -> Cast:
    operator = user("odin@provider.example", "Odin Eriksen", is_staff=True)
    provider = Actor.from_user(operator, confirmed=True)
    labs, brage = organizations.create_organizations(
        [
            OrganizationDraft(name="Kvasir Labs", subscriptions=[plans.get_plan(key) for key in LABS_PLANS]),
            OrganizationDraft(name="Brage Skaldskap", subscriptions=[plans.get_plan("le_chat_teams")]),
        ],
        actor=provider,
        source="admin",
    )
    people = {
        role: user(f"{name.split()[0].lower()}@kvasir.example", name)
        for role, name in (
            ("owner", "Ada Lindqvist"),
            ("admin", "Bo Nyström"),
            ("auditor", "Cia Holm"),
            ("member", "Dag Sund"),
        )
    }
    joined = {role: join(labs, person, role, provider) for role, person in people.items()}
    outsider = user("eli@brage.example", "Eli Berg")
    join(brage, outsider, "owner", provider)
    return Cast(
        operator, **people, outsider=outsider, labs=labs, brage=brage, labs_member=joined["member"], provider=provider
    )


LABS_PLANS = ("le_chat_pro", "ai_studio_scale")
