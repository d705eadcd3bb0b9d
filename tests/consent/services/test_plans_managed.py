"""Plans, made and edited by operators: each act an event, no key renamed, none in by default but where it may be."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from accounts.access import Actor, Forbidden
from accounts.models import Plan, Subscription
from consent import verification
from consent.errors import Invalid, Refused
from consent.jobs import actions
from consent.models import ConsentEvent
from consent.presentation import targets
from consent.services import plans
from tests.support.callers import World, by_key
from tests.support.cast import Cast
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = pytest.mark.django_db
NEW = {"key": "le_chat_team_plus", "product": "le_chat", "name": "Le Chat Team Plus"}


def by(cast: Cast) -> dict[str, Any]:
    return {"actor": cast.provider, "source": "admin"}


def plan_events() -> list[tuple[str, str, str, str]]:
    found = ConsentEvent.objects.filter(kind__startswith="access.plan_").order_by("pk")
    return [(each.kind, each.target, each.after, each.reason) for each in found]


def test_plan__made__out_by_default_last_in_order_with_its_event(cast: Cast) -> None:
    made = plans.create_plan(**NEW, description="  For teams that grow. ", reason="Board 12", **by(cast))
    stored = Plan.objects.get(pk=made.pk)
    assert (stored.training_default, stored.description) == ("opted_out", "For teams that grow.")
    assert Plan.objects.last() == stored
    assert plan_events() == [("access.plan_created", "le_chat_team_plus", "opted_out", "Board 12")]
    event = ConsentEvent.objects.latest("pk")
    assert event.organization is None and event.by_operator and event.actor_id == str(cast.operator.pk)
    assert verification.verify().problems == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"key": ""}, "key"),
        ({"key": "Le_Chat_X"}, "key"),
        ({"key": "le_chat_2"}, "key"),
        ({"key": "ai_studio_x"}, "key"),  # of another product
        ({"key": "le_chat_" + "x" * 33}, "key"),
        ({"product": "phone"}, "product"),
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "le chat PRO"}, "name"),  # another's
        ({"name": "Le Chat\u200b Pro"}, "name"),  # what can't be seen
        ({"description": "x" * 301}, "description"),
        ({"description": "two\nlines"}, "description"),
        ({"training_default": "maybe"}, "training_default"),
        ({"training_default": "opted_in"}, "training_default"),
    ],
)
def test_plan__made_of_bad_values__refused_at_the_field(cast: Cast, changes: dict[str, str], field: str) -> None:
    before = list(Plan.objects.values())
    with changes_nothing(), pytest.raises(Invalid) as caught:
        plans.create_plan(**{**NEW, **changes}, **by(cast))
    assert caught.value.field == field
    assert list(Plan.objects.values()) == before


def test_plan__of_a_key_that_is_taken__refused(cast: Cast) -> None:
    with refusal(Refused, "exists", "key"):
        plans.create_plan(**{**NEW, "key": "le_chat_pro"}, **by(cast))


def test_plan__in_by_default__only_where_the_database_allows(cast: Cast) -> None:
    """One of the four may be made anew in an installation that has lost it; the database refuses every other."""
    Plan.objects.filter(pk="le_chat_student").delete()
    words = {"key": "le_chat_student", "product": "le_chat", "name": "Le Chat Student", "training_default": "opted_in"}
    assert plans.create_plan(**words, **by(cast)).training_default == "opted_in"
    with pytest.raises(IntegrityError), transaction.atomic():
        Plan.objects.create(**{**NEW, "training_default": "opted_in"})


def test_plan__edited__one_event_names_the_fields_and_the_key_stays(cast: Cast) -> None:
    plan = plans.get_plan("le_chat_teams")
    words = {"name": "Le Chat Team", "description": "For teams.", "position": 1}
    plans.edit_plan(plan=plan, **words, reason="New name", **by(cast))
    stored = Plan.objects.get(pk="le_chat_teams")
    assert (stored.name, stored.description, stored.position) == ("Le Chat Team", "For teams.", 1)
    assert plan_events() == [("access.plan_edited", "le_chat_teams", "description, name, position", "New name")]
    plans.edit_plan(plan=plan, **words, **by(cast))
    assert len(plan_events()) == 1, "the same values again write nothing"
    names = targets.labels(ConsentEvent.objects.filter(target="le_chat_teams"), cast.provider)
    assert names.target(ConsentEvent.objects.latest("pk")) == "Le Chat Team"


def test_plan__edited_with_bad_values__refused(cast: Cast) -> None:
    plan = plans.get_plan("le_chat_teams")
    for changes, field in (
        ({"name": ""}, "name"),
        ({"name": "Le Chat Pro"}, "name"),
        ({"position": -1}, "position"),
        ({"position": plans.LAST_POSITION + 1}, "position"),
    ):
        with changes_nothing(), pytest.raises(Invalid) as caught:
            plans.edit_plan(plan=plan, **changes, **by(cast))  # type: ignore[arg-type]
        assert caught.value.field == field
    assert plan_events() == []


@pytest.mark.parametrize("who", ["owner", "admin", "member"])
def test_plans__managed_by_no_operator__forbidden(cast: Cast, who: str) -> None:
    actor = Actor.from_user(getattr(cast, who), confirmed=True)
    with refusal(Forbidden):
        plans.create_plan(**NEW, actor=actor, source="admin")
    with refusal(Forbidden):
        plans.edit_plan(plan=plans.get_plan("le_chat_pro"), name="Mine", actor=actor, source="admin")


def test_plan__ever_subscribed__is_not_deleted(cast: Cast) -> None:
    Subscription.objects.filter(organization=cast.labs, product="le_chat").update(ended_at=cast.labs.created_at)
    with pytest.raises(ProtectedError):
        plans.get_plan("le_chat_pro").delete()


def test_new_plan__subscribed__decides_as_its_default_says(cast: Cast) -> None:
    plan = plans.create_plan(**NEW, **by(cast))
    setting = plans.subscribe(organization=cast.labs, plan=plan, reason="x", **by(cast))
    assert (setting.plan, setting.allowed) == ("le_chat_team_plus", False)
    with pytest.raises(Invalid):
        actions.preview_default(plan=plan, default="opted_in", reason="x", **by(cast))
    assert verification.verify().problems == []


def test_api__lists_the_plan_with_its_description_and_keys_manage_none(world: World) -> None:
    plans.create_plan(**NEW, description="For teams.", **by(world.cast))
    listed = {each["key"]: each for each in world.owner.get("plans/").json()["results"]}
    assert listed["le_chat_team_plus"] == {
        "key": "le_chat_team_plus", "product": "le_chat", "name": "Le Chat Team Plus", "description": "For teams.",
        "training_default": "opted_out",
    }  # fmt: skip
    assert by_key("consent:read").post("plans/", NEW).status_code == 405


def test_events_of_plans__told_to_operators_alone(world: World) -> None:
    plans.create_plan(**NEW, **by(world.cast))
    assert "plan_created" not in world.owner.get(f"organizations/{world.labs}/events/").content.decode()
