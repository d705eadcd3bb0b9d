"""choose(): permissions, requirements, what it writes; every refusal changes nothing (R3, R4, R10, R11, R13)."""

import itertools
from typing import Any

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Member
from consent import ledger, verification
from consent.errors import Invalid, Refused, VersionMismatch, VersionRequired
from consent.models import ConsentEvent, PrivacySetting
from consent.services import members
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE, ORGANIZATION_SURFACES, Shown
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.choices import IN, OBSTACLES, OUT, actors, choose, choose_own, key, put_in_the_way
from tests.support.factories import MemberFactory, UserFactory
from tests.support.ledger_guards import changes_nothing, kinds_since, last_event, refusal

# --- The organization's choice (R3) --------------------------------------------------------------------------------

MAY_CHOOSE = {
    "owner",
    "admin",
    "operator",
    "operator's command",
    "operator key consent:write",
    "labs key consent:write",
}


@pytest.mark.parametrize("surface", ORGANIZATION_SURFACES, ids=lambda s: s.key)
def test_choose__every_kind_of_actor__only_those_with_the_right(cast: Cast, surface: Any) -> None:
    for (name, actor), choice in itertools.product(actors(cast).items(), (OUT, IN)):
        wanted = {"surface": surface, "reason": "As agreed", "source": "api"}
        if name in MAY_CHOOSE:
            last = last_event().pk
            setting = choose(cast, choice, actor, **wanted)
            assert (setting.choice, setting.allowed) == (choice, choice == IN), name
            assert kinds_since(last) == [f"choice.{choice}"], name
        else:
            with refusal(Forbidden):
                choose(cast, choice, actor, **wanted)
    assert verification.verify().problems == []


def test_choose__member_who_was_owner_and_left__forbidden(cast: Cast) -> None:
    former = Member.objects.get(organization=cast.labs, user=cast.admin)
    members.remove_member(member=former, actor=cast.provider, source="admin")
    with refusal(Forbidden):
        choose(cast, OUT, Actor.from_user(cast.admin, confirmed=True))


def test_opt_out__free_plan_without_a_reason__one_event_with_all_of_it(cast: Cast) -> None:
    before = PrivacySetting.objects.get(organization=cast.labs, product="le_chat")
    shown = Shown(LE_CHAT_CONSOLE.wording, "fr")
    setting = choose(cast, OUT, Actor.from_user(cast.admin, confirmed=True), shown=shown)
    event = last_event()
    assert (event.kind, event.before, event.after) == ("choice.opted_out", "default", OUT)
    assert (event.organization, event.member, event.product) == (cast.labs, None, "le_chat")
    assert (event.surface, event.source) == ("le_chat_console", "console")
    assert (event.wording, event.language, event.app_version) == shown
    assert (event.actor_type, event.actor_id, event.by_operator) == ("user", str(cast.admin.pk), False)
    assert (event.choice, event.allowed, event.reason_code) == (OUT, False, "organization_opted_out")
    assert event.since == event.recorded_at == setting.changed_at == setting.since
    assert (setting.version, setting.last_event_id, setting.choice_event_id) == (before.version + 1, event.pk, event.pk)
    assert setting.state == event.state


def test_opt_out__by_operator_key_over_the_api__event_says_so_and_keeps_no_wording(cast: Cast) -> None:
    actor = key("consent:write")
    choose(cast, OUT, actor, source="api", reason=" By letter ")
    event = last_event()
    assert (event.actor_type, event.actor_id, event.by_operator) == ("api_key", actor.id, True)
    assert (event.source, event.reason, event.wording) == ("api", "By letter", "")


@pytest.mark.parametrize("actor", ["owner", "admin", "operator"])
def test_opt_in__plan_opted_out_by_default_without_reason__refused(cast: Cast, actor: str) -> None:
    who = Actor.from_user(getattr(cast, actor), confirmed=True)
    for reason in ("", "  \n"):
        with refusal(Invalid, "required", "reason"):
            choose(cast, IN, who, surface=AI_STUDIO_CONSOLE, reason=reason)


def test_opt_in__free_plan_after_an_opt_out__needs_no_reason(cast: Cast) -> None:
    admin = Actor.from_user(cast.admin, confirmed=True)
    choose(cast, OUT, admin)
    setting = choose(cast, IN, admin)
    assert (setting.allowed, setting.reason_code, setting.since) == (True, "organization_opted_in", setting.changed_at)


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_choose__something_stands_against_opting_in__opt_in_refused_and_opt_out_accepted(
    cast: Cast, obstacle: str
) -> None:
    put_in_the_way(cast, obstacle)
    for actor in (Actor.from_user(cast.owner, confirmed=True), cast.provider):
        with refusal(Refused, obstacle):
            choose(cast, IN, actor, reason="As agreed")
    setting = choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    assert (setting.choice, setting.allowed, setting.reason_code) == (OUT, False, obstacle)


def test_opt_out__product_without_subscription_ever__accepted_and_survives_the_first_one(cast: Cast) -> None:
    choose(
        cast, OUT, Actor.from_user(cast.outsider, confirmed=True), organization=cast.brage, surface=AI_STUDIO_CONSOLE
    )
    casting.subscribe(cast.brage, "ai_studio_experiment", cast.provider)
    setting = PrivacySetting.objects.get(organization=cast.brage, product="ai_studio")
    assert (setting.choice, setting.allowed) == (OUT, False)
    assert verification.verify().problems == []


@pytest.mark.parametrize("choice", ["", "default", "OPTED_IN", "on", "yes", "toggle", "opted_in "])
def test_choose__unknown_choice__refused(cast: Cast, choice: str) -> None:
    with refusal(Invalid, "unknown_choice", "choice"):
        choose(cast, choice, cast.provider)
    with refusal(Invalid, "unknown_choice", "choice"):
        choose_own(cast, choice, Actor.from_user(cast.member, confirmed=True))


def test_choose__bad_values__refused_by_name(cast: Cast) -> None:
    with refusal(Invalid, "unknown_source", "source"):
        choose(cast, OUT, cast.provider, source="telegram")
    with refusal(Invalid, "wrong_source", "source"):
        choose(cast, OUT, cast.provider, source="ios")
    with refusal(Invalid, "too_long", "reason"):
        choose(cast, OUT, cast.provider, reason="x" * 501)
    with refusal(Invalid, "invalid", "reason"):
        choose(cast, OUT, cast.provider, reason="nul \x00 nul")
    with refusal(Invalid, "wrong_scope", "surface"):
        choose(cast, OUT, cast.provider, surface=LE_CHAT_MOBILE)
    with refusal(Invalid, "wrong_scope", "surface"):
        choose(cast, OUT, cast.provider, member=cast.labs_member)


# --- The same again (R10) --------------------------------------------------------------------------------------------


def test_choose__same_choice_again__writes_nothing_and_answers_as_before(cast: Cast) -> None:
    admin, owner = Actor.from_user(cast.admin, confirmed=True), Actor.from_user(cast.owner, confirmed=True)
    for choice in (OUT, IN):
        first = choose(cast, choice, admin)
        for actor in (admin, owner, cast.provider):
            with changes_nothing():
                again = choose(cast, choice, actor, reason="Another reason")
            assert (again.version, again.last_event_id, again.state) == (
                first.version,
                first.last_event_id,
                first.state,
            )


def test_keep_it_off__operator_made_the_choice__confirmed_once_and_then_the_organizations_own(cast: Cast) -> None:
    choose(cast, OUT, cast.provider, source="admin")
    theirs = PrivacySetting.objects.get(organization=cast.labs, product="le_chat")
    with changes_nothing():
        choose(cast, OUT, cast.provider, source="admin")
    confirmed = choose(cast, OUT, Actor.from_user(cast.admin, confirmed=True))
    event = last_event()
    assert (event.kind, event.before, event.after, event.by_operator) == ("choice.confirmed", OUT, OUT, False)
    assert confirmed.state == theirs.state == event.state
    assert (confirmed.version, confirmed.choice_event_id) == (theirs.version + 1, event.pk)
    for actor in (
        Actor.from_user(cast.owner, confirmed=True),
        Actor.from_user(cast.admin, confirmed=True),
        cast.provider,
    ):
        with changes_nothing():
            choose(cast, OUT, actor)


def test_keep_it_on__operator_opted_in__confirmed_keeps_since(cast: Cast) -> None:
    made = choose(cast, IN, cast.provider, surface=AI_STUDIO_CONSOLE, reason="Signed form", source="admin")
    kept = choose(cast, IN, Actor.from_user(cast.admin, confirmed=True), surface=AI_STUDIO_CONSOLE)
    assert last_event().kind == "choice.confirmed"
    assert (kept.since, kept.allowed) == (made.since, True)


def test_keep_it_off__operator_who_is_the_organizations_admin__acts_as_its_admin(cast: Cast) -> None:
    own = UserFactory(email="staff@provider.example", name="Staff", operator=True)
    MemberFactory(organization=cast.labs, user=own, role="admin", actor=cast.provider)
    choose(cast, OUT, Actor.from_user(own, confirmed=True))
    assert not last_event().by_operator


# --- Versions ----------------------------------------------------------------------------------------------------


def test_version__loosening__required_and_compared(cast: Cast) -> None:
    admin = Actor.from_user(cast.admin, confirmed=True)
    current = choose(cast, OUT, admin).version
    with refusal(VersionRequired, "version_required"):
        choose(cast, IN, admin, version_required=True)
    for wrong in (current - 1, current + 1, 0):
        with refusal(VersionMismatch, "version_mismatch"):
            choose(cast, IN, admin, expected_version=wrong)
        with refusal(VersionMismatch, "version_mismatch"):
            choose(cast, IN, admin, expected_version=wrong, version_required=True)
    assert choose(cast, IN, admin, expected_version=current, version_required=True).allowed


def test_version__tightening_or_the_same_again__not_looked_at(cast: Cast) -> None:
    admin = Actor.from_user(cast.admin, confirmed=True)
    assert not choose(cast, OUT, admin, expected_version=99, version_required=True).allowed
    with changes_nothing():
        choose(cast, OUT, admin, expected_version=99, version_required=True)


def test_version__explicit_yes_where_it_is_used_already__loosens_nothing(cast: Cast) -> None:
    setting = choose(cast, IN, Actor.from_user(cast.admin, confirmed=True), expected_version=99, version_required=True)
    assert (setting.choice, setting.allowed) == (IN, True)


def test_events__of_all_these_changes__placed_for_readers(cast: Cast) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    ledger.sequence()
    assert ConsentEvent.objects.all().placed().count() == ConsentEvent.objects.count()
