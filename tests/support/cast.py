"""The people and organizations of the tests, created through the services so that their history is real."""

import dataclasses

from django.test import Client
from factory import Iterator

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent.services import plans
from tests.support.factories import OPERATOR, MemberFactory, OrganizationFactory, UserFactory


def signed_in(email: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(email=email))
    return client


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
    operator = UserFactory(email=OPERATOR, name="Odin Eriksen", operator=True)
    provider = Actor.from_user(operator, confirmed=True)
    labs, brage = OrganizationFactory.create_batch(
        2,
        name=Iterator(["Kvasir Labs", "Brage Skaldskap"]),
        subscriptions=Iterator([plans.get_plan(key) for key in held] for held in (LABS_PLANS, ["le_chat_teams"])),
        actor=provider,
    )
    people = {
        role: UserFactory(email=f"{name.split()[0].lower()}@kvasir.example", name=name)
        for role, name in (
            ("owner", "Ada Lindqvist"),
            ("admin", "Bo Nyström"),
            ("auditor", "Cia Holm"),
            ("member", "Dag Sund"),
        )
    }
    joined = {
        role: MemberFactory(organization=labs, user=person, role=role, actor=provider)
        for role, person in people.items()
    }
    outsider = UserFactory(email="eli@brage.example", name="Eli Berg")
    MemberFactory(organization=brage, user=outsider, role="owner", actor=provider)
    return Cast(
        operator, **people, outsider=outsider, labs=labs, brage=brage, labs_member=joined["member"], provider=provider
    )


LABS_PLANS = ("le_chat_pro", "ai_studio_scale")
