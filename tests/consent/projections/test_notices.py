"""E-mails to the owner of a personal account: whenever its data begins to be used, and only then."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization, OutgoingMessage, User
from consent import decisions, ledger
from consent.errors import Refused
from consent.models import ConsentEvent
from consent.projections import runner
from consent.projections.turns import Turns
from consent.services import choices, locks, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.factories import ActorFactory
from tests.support.keys import issue_key

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]

IN, OUT = "opted_in", "opted_out"


class Account:
    """Frida's, and everything that she, the provider and her key can do to it."""

    def __init__(self) -> None:
        self.provider = ActorFactory(user__email="odin@provider.example", user__name="Odin")
        draft = OrganizationDraft(
            name="Frida Ek",
            kind="personal",
            owner=("frida@mail.example", "Frida Ek"),
            subscriptions=[plans.get_plan("le_chat_pro")],
        )
        self.organization = organizations.create_organization(draft=draft, actor=self.provider, source="admin")
        self.member = Member.objects.select_related("organization", "user").get(organization=self.organization)
        self.person = Actor.from_user(User.objects.get(email="frida@mail.example"), confirmed=True)
        scopes = ["consent:read", "consent:write"]
        self.key = Actor.from_key(
            issue_key("Hers", scopes, organization=self.organization, issued_by=self.person.user)[0]
        )
        self.app = Actor.from_key(issue_key("App", ["consent:member"])[0])

    @property
    def acts(self) -> dict[str, Callable[[], Any]]:
        by = {
            "actor": self.provider,
            "source": "admin",
            "organization": Organization.objects.get(pk=self.organization.pk),
        }
        return {
            f"{choice} {who} {'phone' if surface is LE_CHAT_MOBILE else 'console'}": self._choice(
                choice, surface, actor, source
            )
            for choice in (IN, OUT)
            for who, surface, actor, source in (
                ("person", LE_CHAT_CONSOLE, self.person, "console"),
                ("person", LE_CHAT_MOBILE, self.person, "data_controls"),
                ("app", LE_CHAT_MOBILE, self.app, "ios"),
                ("provider", LE_CHAT_CONSOLE, self.provider, "admin"),
                ("key", LE_CHAT_CONSOLE, self.key, "api"),
            )
        } | {
            "opted_out provider phone": self._choice(OUT, LE_CHAT_MOBILE, self.provider, "admin"),
            "lock": lambda: locks.place_lock(product="le_chat", reason="Law", reference="1", **by),
            "lift": lambda: locks.lift_lock(product="le_chat", reason="Over", **by),
            "close": lambda: organizations.close_organization(reason="Fees", **by),
            "reopen": lambda: organizations.reopen_organization(reason="Paid", **by),
            "free": lambda: plans.subscribe(plan=plans.get_plan("le_chat_free"), **by),
            "teams": lambda: plans.subscribe(plan=plans.get_plan("le_chat_teams"), **by),
            "end": lambda: plans.end_subscription(product="le_chat", **by),
        }

    def _choice(self, choice: str, surface: Any, actor: Actor, source: str) -> Callable[[], Any]:
        return lambda: choices.choose(
            surface=surface,
            organization=Organization.objects.get(pk=self.organization.pk),
            member=self.member if surface is LE_CHAT_MOBILE else None,
            choice=choice,
            actor=actor,
            source=source,
            reason="As agreed.",
            version_required=False,
        )

    def used(self) -> bool:
        question = decisions.Question(organization=str(self.organization.pk), product="le_chat")
        return decisions.decide(question, self.provider).decision.allowed

    def told(self) -> int:
        """How many messages there are by now."""
        ledger.sequence()
        runner.catch_up("notices")
        return OutgoingMessage.objects.filter(subject__contains="used for training from now on").count()

    def does(self, act: str) -> None:
        """The act; whoever reads the message can believe it, and nobody waits for one in vain."""
        used, told = self.used(), self.told()
        try:
            self.acts[act]()
        except Refused:
            assert self.used() == used
        assert self.told() - told == (self.used() and not used), act


@pytest.mark.parametrize(
    "story",
    [
        ["opted_out person phone", "opted_in provider console", "opted_in app phone"],
        ["opted_out provider phone", "lock", "lift", "opted_in person phone"],
        ["opted_out provider phone", "end", "free", "opted_in person console"],
        ["opted_out person console", "opted_in person phone"],
        ["teams", "opted_in key console", "close", "reopen"],
    ],
)
def test_notice__personal_account__when_both_layers_allow_and_only_then(story: list[str]) -> None:
    account = Account()
    for act in story:
        account.does(act)
    assert account.used()


@pytest.mark.parametrize("seed", range(6))
def test_notice__whatever_happens_to_a_personal_account__as_the_decision_says(seed: int) -> None:
    account, chance = Account(), random.Random(seed)  # noqa: S311
    for _step in range(40):
        account.does(chance.choice(list(account.acts)))


def test_turns__of_many_accounts__as_many_queries_as_of_one(django_assert_num_queries: Any) -> None:
    provider = ActorFactory(user__email="odin@provider.example", user__name="Odin")
    for n in range(12):
        draft = OrganizationDraft(
            name=f"Frida {n}",
            kind="personal",
            owner=(f"frida{n}@mail.example", "Frida"),
            subscriptions=[plans.get_plan("le_chat_pro")],
        )
        organization = organizations.create_organization(draft=draft, actor=provider, source="admin")
        chosen = {"organization": organization, "actor": provider, "source": "admin"}
        choices.choose(surface=LE_CHAT_CONSOLE, choice=OUT, version_required=False, **chosen)
    ended = list(ConsentEvent.objects.filter(kind="choice.opted_out").order_by("pk"))
    assert len(ended) == 12
    for some in (ended[:1], ended):
        with django_assert_num_queries(2):
            turns = Turns(some)
        assert turns.ended == some and turns.began == turns.ended_for_members == []
