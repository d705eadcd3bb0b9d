"""Services that write batches: the same result as one by one, with a number of statements independent of the size."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.access import Actor
from accounts.fields import MICROSECOND
from accounts.models import Member, Organization, Subscription
from consent import ledger, verification
from consent.ledger import Origin
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices, layers, members, organizations, plans
from consent.services.choices import Chosen
from consent.services.members import Newcomer
from consent.services.organizations import OrganizationDraft
from consent.services.plans import Move
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.factories import ActorFactory, OrganizationFactory

pytestmark = [pytest.mark.django_db, pytest.mark.thorough]
FEW, MANY = 2, 9


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


def settings_of(made: Sequence[Organization], product: str) -> list[PrivacySetting]:
    return list(layers.lock_settings((each, product) for each in made).values())


def after(settings: Sequence[PrivacySetting]) -> Any:
    return ledger.clock(*(each.changed_at for each in settings), *(each.organization.created_at for each in settings))


def choose_out(made: Sequence[Organization], origin: Origin) -> None:
    settings = settings_of(made, "le_chat")
    choices.choose_many([Chosen(each, "opted_out", LE_CHAT_CONSOLE) for each in settings], origin, after(settings))


def subscribe(plan: str) -> Callable[[Sequence[Organization], Origin], None]:
    """A product that they have: a move; another: a start, whose settings are made first."""

    def apply(made: Sequence[Organization], origin: Origin) -> None:
        held = layers.hold_plan(plans.get_plan(plan))
        settings = settings_of(made, held.product)
        plans.subscribe_many([Move(each, held) for each in settings], origin, after(settings))

    return apply


def join(made: Sequence[Organization], origin: Origin) -> None:
    users = members.get_or_create_users({f"p@{each.external_id}.example": "P" for each in made})
    people = zip(made, users.values(), strict=True)
    members.join_many([Newcomer(each, user, "admin", f"p-{each.external_id}") for each, user in people], origin)


def personal(made: Sequence[Organization], origin: Origin) -> None:
    subscriptions = [plans.get_plan("le_chat_free")]
    drafts = [
        OrganizationDraft(
            name="P", kind="personal", owner=(f"o@{each.external_id}.example", "O"), choices={"le_chat": "opted_out"},
            subscriptions=subscriptions,
        )
        for each in made
    ]  # fmt: skip
    organizations.create_organizations(drafts, actor=origin.actor, source=origin.source)


BATCHES: dict[str, Callable[[Sequence[Organization], Origin], None]] = {
    "choices": choose_out,
    "moves": subscribe("le_chat_pro"),
    "starts": subscribe("ai_studio_scale"),
    "joinings": join,
    "personal organizations with owners and opt-outs": personal,
}


@pytest.mark.parametrize("case", BATCHES)
def test_batch__more_of_them__as_many_statements__and_the_ledger_agrees(operator: Actor, case: str) -> None:
    made = OrganizationFactory.with_ids(*(f"a{n}" for n in range(FEW + MANY)), plan="le_chat_free", actor=operator)
    origin = Origin(actor=operator, source="admin", by_operator=True)
    taken = []
    for batch in (made[:FEW], made[FEW:]):
        before = ConsentEvent.objects.count()
        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            BATCHES[case](batch, origin)
        taken.append(len(queries))
        assert (ConsentEvent.objects.count() - before) % len(batch) == 0
    assert taken[0] == taken[1]
    assert verification.verify().problems == []


def test_subscribe_many__started_and_moved__the_old_subscription_ends_as_the_new_one_starts(operator: Actor) -> None:
    made = OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=operator)
    other = OrganizationFactory.with_ids("c", plan="ai_studio_scale", actor=operator)
    with transaction.atomic():
        subscribe("le_chat_pro")([*made, *other], Origin(actor=operator, source="admin", by_operator=True))
    ended = Subscription.objects.filter(plan="le_chat_free")
    started = Subscription.objects.filter(plan="le_chat_pro", ended_at=None)
    assert ended.count() == 2 and {each.ended_at for each in ended} == {each.started_at for each in started}
    assert started.count() == 3 and Subscription.objects.filter(plan="ai_studio_scale", ended_at=None).count() == 1


def test_attested_start__one_event_more__which_alone_has_the_reference(operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    user = members.get_or_create_user("p@x.example", "P")
    since = organization.created_at - 1_000_000 * MICROSECOND
    origin = Origin(actor=operator, source="import", by_operator=True)
    with transaction.atomic():
        [member] = members.join_many([Newcomer(organization, user, "member", since=since)], origin, reference="R-1")
    events = ConsentEvent.objects.filter(member=member).order_by("pk")
    assert [(each.kind, each.reference) for each in events] == [("member.joined", ""), ("since.attested", "R-1")]
    assert events[1].recorded_at - events[0].recorded_at == MICROSECOND
    member.refresh_from_db()
    assert (member.joined_at, member.changed_at) == (since, events[1].recorded_at)


def test_users__known_and_new_and_of_somebody_else__each_once(operator: Actor) -> None:
    known = members.get_or_create_user("known@x.example", "Known")
    users = members.get_or_create_users({"known@x.example": "Renamed", "new@x.example": "New"})
    assert users["known@x.example"] == known and users["known@x.example"].name == "Known"
    assert users["new@x.example"].name == "New" and not users["new@x.example"].has_usable_password()
    assert Member.objects.count() == 0
