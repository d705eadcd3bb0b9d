"""Subscriptions and locks: what they write, who may do it, and that nothing loosens by itself (R5)."""

from typing import Any

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Plan, Subscription
from consent import verification
from consent.errors import Invalid, Refused
from consent.models import Lock, PrivacySetting
from consent.services import choices, locks, organizations, plans
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE
from tests.support.cast import Cast
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, kinds_since, last_event, refusal


def subscribe(cast: Cast, plan: str, actor: Actor | None = None, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {"organization": cast.labs, "source": "api"} | changes
    return plans.subscribe(plan=plans.get_plan(plan), actor=actor or cast.provider, **wanted)


def end(cast: Cast, product: str = "le_chat", actor: Actor | None = None, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {"organization": cast.labs, "source": "api"} | changes
    return plans.end_subscription(product=product, actor=actor or cast.provider, **wanted)


def place(cast: Cast, actor: Actor | None = None, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {
        "organization": cast.labs,
        "product": "le_chat",
        "reason": "By contract",
        "reference": "C-1",
        "source": "admin",
    } | changes
    return locks.place_lock(actor=actor or cast.provider, **wanted)


def lift(cast: Cast, actor: Actor | None = None, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {
        "organization": cast.labs,
        "product": "le_chat",
        "reason": "Contract over",
        "source": "admin",
    } | changes
    return locks.lift_lock(actor=actor or cast.provider, **wanted)


def choose(cast: Cast, choice: str, **changes: Any) -> PrivacySetting:
    wanted: dict[str, Any] = {"surface": LE_CHAT_CONSOLE, "organization": cast.labs, "reason": "As agreed"} | changes
    return choices.choose(
        choice=choice,
        actor=Actor.from_user(cast.owner, confirmed=True),
        source="console",
        **wanted,
        version_required=False,
    )


def others(cast: Cast) -> list[Actor]:
    """All who are neither the provider nor hold its key."""
    people = [
        Actor.from_user(getattr(cast, role), confirmed=True)
        for role in ("owner", "admin", "auditor", "member", "outsider")
    ]
    scopes = ["organizations:write", "consent:write"]
    keys = [issue_key("Theirs", scopes, organization=cast.labs)[0], issue_key("Reader", ["consent:read"])[0]]
    return [*people, *map(Actor.from_key, keys)]


# --- Subscriptions -----------------------------------------------------------------------------------------------


def test_subscribe__move__one_event_and_one_live_subscription(cast: Cast) -> None:
    last = last_event().pk
    setting = subscribe(cast, "le_chat_teams", reason=" Upgrade ")
    event = last_event()
    assert kinds_since(last) == ["plan.changed"]
    assert (event.before, event.after, event.reason) == ("le_chat_pro", "le_chat_teams", "Upgrade")
    assert (setting.plan, setting.allowed, setting.reason_code) == ("le_chat_teams", False, "plan_default")
    rows = Subscription.objects.filter(organization=cast.labs, product="le_chat").order_by("started_at")
    assert [(row.plan_id, row.ended_at) for row in rows] == [
        ("le_chat_pro", event.recorded_at),
        ("le_chat_teams", None),
    ]
    with changes_nothing():
        subscribe(cast, "le_chat_teams", reason="Again")
    assert verification.verify().problems == []


def test_subscribe__first_of_a_product_and_restart__started(cast: Cast) -> None:
    subscribe(cast, "ai_studio_experiment", organization=cast.brage)
    assert (last_event().kind, last_event().before) == ("subscription.started", "")
    end(cast, "ai_studio", organization=cast.brage)
    assert (last_event().kind, last_event().before) == ("subscription.ended", "ai_studio_experiment")
    setting = subscribe(cast, "ai_studio_experiment", organization=cast.brage)
    assert (last_event().kind, setting.allowed, setting.since) == (
        "subscription.started",
        True,
        last_event().recorded_at,
    )
    assert Subscription.objects.filter(organization=cast.brage, product="ai_studio").count() == 2
    assert verification.verify().problems == []


def test_end_subscription__none_is_live__writes_nothing(cast: Cast) -> None:
    end(cast)
    with changes_nothing():
        end(cast)


def test_end_subscription__product_never_subscribed__no_event_and_no_version(cast: Cast) -> None:
    last = last_event().pk
    assert end(cast, "ai_studio", organization=cast.brage).version == 0
    assert kinds_since(last) == []
    assert verification.verify().problems == []


def test_opt_out__through_every_plan_change_and_gap__stays(cast: Cast) -> None:
    choose(cast, "opted_out")
    for plan in ("le_chat_teams", "le_chat_free", "le_chat_enterprise", "le_chat_student", "le_chat_pro"):
        setting = subscribe(cast, plan)
        assert (setting.choice, setting.allowed) == ("opted_out", False)
        setting = end(cast)
        assert (setting.choice, setting.allowed) == ("opted_out", False)


def test_downgrade__no_choice__carried_over_until_somebody_opts_in(cast: Cast) -> None:
    subscribe(cast, "le_chat_teams")
    setting = subscribe(cast, "le_chat_free")
    assert (setting.allowed, setting.carry, setting.reason_code) == (False, "le_chat_teams", "carried_over")
    assert setting.carry_event_id == last_event().pk
    setting = choose(cast, "opted_in")
    assert (setting.allowed, setting.carry, setting.carry_event_id) == (True, "", None)


def test_upgrade__explicit_opt_in__dropped_with_its_event(cast: Cast) -> None:
    choose(cast, "opted_in")
    setting = subscribe(cast, "le_chat_enterprise")
    assert (setting.choice, setting.choice_event_id, setting.allowed) == ("default", None, False)


def test_subscribe__default_of_the_plan_changed_meanwhile__the_stored_one_applies(cast: Cast) -> None:
    stale = plans.get_plan("ai_studio_experiment")
    Plan.objects.filter(pk=stale.pk).update(training_default="opted_out")
    setting = plans.subscribe(organization=cast.brage, plan=stale, actor=cast.provider, source="api")
    assert (setting.applied_default, setting.allowed) == ("opted_out", False)


def test_subscriptions__anybody_but_the_provider__forbidden(cast: Cast) -> None:
    for actor in others(cast):
        with refusal(Forbidden):
            subscribe(cast, "le_chat_free", actor)
        with refusal(Forbidden):
            end(cast, actor=actor)


def test_subscriptions__operator_key_with_the_scope__done(cast: Cast) -> None:
    actor = Actor.from_key(issue_key("Billing", ["organizations:write"])[0])
    assert subscribe(cast, "le_chat_free", actor).plan == "le_chat_free"
    assert not end(cast, actor=actor).subscribed


def test_subscriptions__bad_values__refused_by_name(cast: Cast) -> None:
    with refusal(Invalid, "unknown_plan", "plan"):
        plans.get_plan("le_chat_gold")
    with refusal(Invalid, "wrong_product", "plan"):
        plans.get_plan("le_chat_pro", "ai_studio")
    with refusal(Invalid, "too_long", "reason"):
        subscribe(cast, "le_chat_free", reason="x" * 501)
    with refusal(Invalid, "unknown_source", "source"):
        end(cast, source="fax")


# --- Locks -------------------------------------------------------------------------------------------------------


def test_place_lock__opted_in_organization__out_at_once_with_its_event(cast: Cast) -> None:
    choose(cast, "opted_in")
    last = last_event().pk
    setting = place(cast, reason=" By contract ", reference=" C-1 ")
    event = last_event()
    assert kinds_since(last) == ["lock.placed"]
    assert (event.reason, event.reference, event.before, event.after) == ("By contract", "C-1", "unlocked", "locked")
    assert (setting.allowed, setting.reason_code, setting.lock_event_id) == (False, "locked", event.pk)
    lock = Lock.objects.get()
    assert (lock.reason, lock.reference, lock.placed_at) == ("By contract", "C-1", event.recorded_at)
    with changes_nothing():
        place(cast)
    for changes in ({"reason": "Another"}, {"reference": "C-2"}):
        with refusal(Refused, "locked"):
            place(cast, **changes)
    assert verification.verify().problems == []


def test_lift_lock__choice_as_it_was__used_again_from_the_lifting_on(cast: Cast) -> None:
    choose(cast, "opted_in")
    place(cast)
    setting = lift(cast)
    event = last_event()
    assert (event.kind, event.reason) == ("lock.lifted", "Contract over")
    assert (setting.allowed, setting.since, setting.lock_event_id) == (True, event.recorded_at, None)
    assert Lock.objects.get().lifted_at == event.recorded_at
    with changes_nothing():
        lift(cast)
    place(cast, reference="C-2")
    assert Lock.objects.count() == 2
    assert verification.verify().problems == []


def test_lift_lock__product_without_a_setting__no_event_and_no_version(cast: Cast) -> None:
    last = last_event().pk
    assert lift(cast, organization=cast.brage, product="ai_studio").version == 0
    assert kinds_since(last) == []
    assert verification.verify().problems == []


def test_locks__on_one_product__leave_the_other_and_survive_plans_and_closing(cast: Cast) -> None:
    choose(cast, "opted_in", surface=AI_STUDIO_CONSOLE)
    place(cast)
    assert PrivacySetting.objects.get(organization=cast.labs, product="ai_studio").allowed
    assert subscribe(cast, "le_chat_free").locked
    organizations.close_organization(organization=cast.labs, actor=cast.provider, source="admin", reason="Over")
    organizations.reopen_organization(organization=cast.labs, actor=cast.provider, source="admin", reason="Back")
    setting = PrivacySetting.objects.get(organization=cast.labs, member=None, product="le_chat")
    assert (setting.locked, setting.allowed) == (True, False)


def test_locks__anybody_but_the_provider__forbidden(cast: Cast) -> None:
    place(cast, product="ai_studio")
    for actor in others(cast):
        with refusal(Forbidden):
            place(cast, actor)
        with refusal(Forbidden):
            lift(cast, actor, product="ai_studio")


def test_locks__operator_key_with_the_scope__done(cast: Cast) -> None:
    actor = Actor.from_key(issue_key("Legal", ["consent:write"])[0])
    assert place(cast, actor).locked
    assert not lift(cast, actor).locked


@pytest.mark.parametrize("field", ["reason", "reference"])
def test_locks__without_saying_why__refused(cast: Cast, field: str) -> None:
    with refusal(Invalid, "required", field):
        place(cast, **{field: " "})
    with refusal(Invalid, "too_long", field):
        place(cast, **{field: "x" * 501})
    place(cast)
    with refusal(Invalid, "required", "reason"):
        lift(cast, reason="")


def test_product_there_is_not__every_service_that_takes_one__refused(cast: Cast) -> None:
    for call in (end, place, lift):
        with refusal(Invalid, "unknown_product", "product"):
            call(cast, product="telepathy")
