"""Only the signed-in member and the provider learn what a member chose (R4): one table of all ways to ask."""

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization
from consent import decisions
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import choices, members, organizations
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support import cast as casting
from tests.support.callers import Caller, World, by_key, by_session
from tests.support.factories import ActorFactory

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

# How the organization stands: with what an answer about it begins.
STANDINGS = {
    "opted in": {"choice": "opted_in"},
    "opted out": {"choice": "opted_out"},
    "Teams": {"plan": "le_chat_teams"},
    "no plan": {"plan": ""},
    "locked": {"lock": True},
    "closed": {"closed": True},
}
ASKERS = ("owner", "admin", "auditor", "key")


@pytest.fixture(autouse=True)
def without_limits(settings: Any) -> None:
    settings.KEY_RATE = 0


def stand(world: World, standing: str) -> None:
    """Brings the organization there; everybody has been asked before."""
    wanted = STANDINGS[standing]
    operator, labs = world.operator, world.labs
    done: list[Any] = [operator.put(f"{labs}privacy-settings/le_chat_console/", {"choice": "opted_out"})]
    if wanted.get("choice") == "opted_in":
        choices.choose(
            surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_in", actor=world.cast.provider,
            source="admin", reason="Letter", version_required=False,
        )  # fmt: skip
    if plan := wanted.get("plan"):
        done.append(operator.put(f"{labs}subscriptions/le_chat/", {"plan": plan}))
    elif "plan" in wanted:
        done.append(operator.delete(f"{labs}subscriptions/le_chat/", {"reason": "Over"}))
    if "lock" in wanted:
        done.append(operator.put(f"{labs}locks/le_chat/", {"reason": "Contract 7", "reference": "CRM-7"}))
    if "closed" in wanted:
        done.append(operator.patch(labs, {"status": "closed", "reason": "Asked for"}))
    assert {answer.status_code for answer in done} <= {200, 204}


def opt_out(member: Member) -> None:
    choices.choose(
        surface=LE_CHAT_MOBILE, organization=member.organization, member=member, choice="opted_out",
        actor=Actor.from_user(member.user, confirmed=True), source="data_controls",
    )  # fmt: skip


def asked(caller: Caller, organization: Organization, member: Member, **changes: str) -> list[dict[str, Any]]:
    """The same question by each way of asking: explained, one of a batch, and by AuthZEN, alone and of many."""
    question = {"organization": str(organization.pk), "member": str(member.pk), "product": "le_chat", **changes}
    explained = caller.post("decisions/?explain=true", question).json()
    (batch,) = caller.post("decisions/batch/", {"items": [question]}).json()["decisions"]
    if "at" in changes:  # AuthZEN asks about now
        return [explained, batch]
    evaluation = {
        "subject": {"type": "member", "id": str(member.pk)},
        "action": {"name": "train"},
        "resource": {"type": "product", "id": "le_chat"},
    }
    one = caller.post("/access/v1/evaluation", evaluation).json()
    (of_many,) = caller.post("/access/v1/evaluations", {"evaluations": [evaluation]}).json()["evaluations"]
    return [explained, batch, *({"reason": each["context"]["reason"]} for each in (one, of_many))]


def reasons(answers: list[dict[str, Any]]) -> set[str]:
    return {answer["reason"] for answer in answers}


@pytest.mark.parametrize("standing", STANDINGS)
@pytest.mark.parametrize("asker", ASKERS)
def test_ask__about_another_member__no_layer_of_theirs_however_the_organization_stands(
    asker: str, standing: str, world: World
) -> None:
    stand(world, standing)
    instants = [None, *(each.isoformat() for each in ConsentEvent.objects.values_list("recorded_at", flat=True))]
    organization, member = world.cast.labs, world.cast.labs_member
    before = [asked(getattr(world, asker), organization, member, **at(each)) for each in instants]
    opt_out(member)
    after = [asked(getattr(world, asker), organization, member, **at(each)) for each in instants]
    assert untimed(after) == untimed(before)
    for answers in after:
        assert [layer["layer"] for layer in answers[0].get("layers", [])] in ([], ["organization"])


def at(instant: str | None) -> dict[str, str]:
    return {} if instant is None else {"at": instant}


def untimed(answers: list[list[dict[str, Any]]]) -> Any:
    return json.loads(json.dumps(answers), object_hook=lambda each: {**each, "decided_at": None})


@pytest.mark.parametrize("asker", ["owner", "admin", "auditor"])
def test_ask__about_oneself_signed_in__told(asker: str, world: World) -> None:
    member = Member.objects.select_related("organization", "user").get(
        organization=world.cast.labs, user=getattr(world.cast, asker)
    )
    opt_out(member)
    answers = asked(getattr(world, asker), world.cast.labs, member)
    assert reasons(answers) == {"member_opted_out"}
    assert [layer["layer"] for layer in answers[0]["layers"]] == ["organization", "member"]
    assert answers[0]["layers"][1]["event"] == str(ConsentEvent.objects.latest("pk").pk)
    for other in {"owner", "admin", "auditor", "key"} - {asker}:
        assert reasons(asked(getattr(world, other), world.cast.labs, member)) == {"member_private"}


def test_ask__with_a_key_that_a_member_issued__is_not_that_member_signed_in(world: World) -> None:
    member = Member.objects.select_related("organization", "user").get(
        organization=world.cast.labs, user=world.cast.admin
    )
    opt_out(member)
    key = by_key("decisions:read", organization=world.cast.labs, issued_by=world.cast.admin)
    assert reasons(asked(key, world.cast.labs, member)) == {"member_private"}


@pytest.mark.parametrize("asker", ["operator", "operator_key"])
def test_ask__as_the_provider__told(asker: str, world: World) -> None:
    opt_out(world.cast.labs_member)
    answers = asked(getattr(world, asker), world.cast.labs, world.cast.labs_member)
    assert reasons(answers) == {"member_opted_out"}
    assert len(answers[0]["layers"]) == 2


@pytest.mark.parametrize("make", [Actor.system, None])
def test_ask__as_the_portal_or_by_command__told(make: Any, world: World) -> None:
    actor = make() if make else Actor.from_command(world.cast.operator)
    opt_out(world.cast.labs_member)
    question = Question(str(world.cast.labs.pk), "le_chat", str(world.cast.labs_member.pk))
    answer = decisions.decide(question, actor)
    assert answer.decision.reason == "member_opted_out"
    assert set(answer.events) == {"organization", "member"}


@dataclasses.dataclass
class Personal:
    organization: Organization
    owner: Member
    session: Caller
    key: Caller


@pytest.fixture
def personal() -> Personal:
    provider = ActorFactory(user__email="odin@provider.example", user__name="Odin")
    (made,) = organizations.create_organizations(
        [OrganizationDraft(name="Vala", kind="personal", owner=("vala@example.org", "Vala"), subscriptions=[])],
        actor=provider,
        source="admin",
    )
    casting.subscribe(made, "le_chat_pro", provider)
    owner = Member.objects.select_related("organization", "user").get(organization=made)
    return Personal(made, owner, by_session(owner.user), by_key("decisions:read", organization=made))


def test_ask__personal_organization__its_person_and_its_key_are_told(personal: Personal) -> None:
    opt_out(personal.owner)
    for caller in (personal.session, personal.key):
        # What the one person says stands in both layers (R17).
        assert reasons(asked(caller, personal.organization, personal.owner)) == {"organization_opted_out"}
        without = caller.post(
            "decisions/?explain=true", {"organization": str(personal.organization.pk), "product": "le_chat"}
        )
        assert len(without.json()["layers"]) == 2


def test_ask__once_another_person_belonged_to_it__nobody_is_told_of_them_at_any_instant(personal: Personal) -> None:
    provider = ActorFactory(user__email="frigg@provider.example", user__name="Frigg")
    by: dict[str, Any] = {"actor": provider, "source": "admin"}
    organizations.update_organization(organization=personal.organization, kind="team", **by)
    former = members.add_member(organization=personal.organization, email="former@example.org", **by)
    during = ConsentEvent.objects.latest("pk").recorded_at
    opt_out(former)
    opted_out = ConsentEvent.objects.latest("pk").recorded_at
    members.remove_member(member=former, **by)
    for caller in (personal.session, personal.key):
        for instant in (None, during, opted_out, opted_out + dt.timedelta(microseconds=1)):
            answers = asked(caller, personal.organization, former, **at(instant and instant.isoformat()))
            assert reasons(answers) == {"member_private"}
            assert len(answers[0]["layers"]) == 1
    assert reasons(asked(personal.key, personal.organization, personal.owner)) == {"member_private"}
    assert reasons(asked(personal.session, personal.organization, personal.owner)) == {"plan_default"}


def test_ask__ai_studio_about_a_member__membership_counts_and_is_no_layer_for_the_organization(world: World) -> None:
    choices.choose(
        surface=LE_CHAT_CONSOLE, organization=world.cast.labs, choice="opted_out", actor=world.cast.provider,
        source="admin",
    )  # fmt: skip
    casting.subscribe(world.cast.labs, "ai_studio_experiment", world.cast.provider)
    question = {
        "organization": str(world.cast.labs.pk),
        "member": str(world.cast.labs_member.pk),
        "product": "ai_studio",
    }
    members.remove_member(member=world.cast.labs_member, actor=world.cast.provider, source="admin")
    answers = [
        caller.post("decisions/?explain=true", question).json() for caller in (world.key, world.owner, world.operator)
    ]
    assert {answer["allowed"] for answer in answers} == {False}
    assert [len(answer["layers"]) for answer in answers] == [1, 1, 2]
