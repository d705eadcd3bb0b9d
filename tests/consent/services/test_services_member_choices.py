"""A member's own choice: only they can loosen it, and only they and the provider can see it (R4)."""

import itertools

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Member
from consent import verification
from consent.errors import Invalid, Refused, VersionMismatch, VersionRequired
from consent.models import PrivacySetting
from consent.services import members
from consent.surfaces import LE_CHAT_MOBILE, Shown
from tests.support.cast import Cast
from tests.support.choices import IN, OBSTACLES, OUT, actors, choose, choose_own, key, put_in_the_way
from tests.support.ledger_guards import changes_nothing, last_event, refusal

pytestmark = pytest.mark.thorough


def test_member__every_kind_of_actor__only_they_opt_in_and_few_may_opt_them_out(cast: Cast) -> None:
    speaks, tightens = (
        {"member", "operator key consent:member"},
        {
            "operator",
            "operator's command",
            "operator key consent:write",
        },
    )
    me = Actor.from_user(cast.member, confirmed=True)
    for (name, actor), choice in itertools.product(actors(cast).items(), (OUT, IN)):
        source = "ios" if actor.key else "data_controls"
        choose_own(cast, IN if choice == OUT else OUT, me)
        if name in speaks or (name in tightens and choice == OUT):
            setting = choose_own(cast, choice, actor, source=source)
            assert (setting.choice, setting.allowed) == (choice, choice == IN), name
            assert last_event().by_operator == (name not in speaks)
        else:
            with refusal(Forbidden):
                choose_own(cast, choice, actor, source=source)
    assert verification.verify().problems == []


@pytest.mark.parametrize("role", ["owner", "admin", "auditor", "member"])
def test_member__of_every_role__controls_their_own_sharing(cast: Cast, role: str) -> None:
    person = getattr(cast, role)
    own = Member.objects.get(organization=cast.labs, user=person)
    for choice in (OUT, IN):
        shown = Shown(LE_CHAT_MOBILE.wording, "en", "7.1")
        setting = choose_own(cast, choice, Actor.from_user(person, confirmed=True), member=own, shown=shown)
        assert (setting.choice, setting.allowed, setting.member) == (choice, choice == IN, own)
        event = last_event()
        assert (event.wording, event.language, event.app_version) == shown


def test_member__command_in_their_own_name__does_not_speak_for_them(cast: Cast) -> None:
    with refusal(Forbidden):
        choose_own(cast, IN, Actor.from_command(cast.member))
    with refusal(Forbidden):
        choose_own(cast, OUT, Actor.from_command(cast.member))


def test_member__through_the_apps_backend__source_must_be_the_app(cast: Cast) -> None:
    backend = key("consent:member")
    for source in ("api", "console", "data_controls", "import"):
        with refusal(Invalid, "wrong_source", "source"):
            choose_own(cast, OUT, backend, source=source)
    for source in ("ios", "android"):
        choose_own(cast, OUT if source == "ios" else IN, backend, source=source)
        event = last_event()
        assert (event.source, event.actor_type, event.by_operator) == (source, "api_key", False)


@pytest.mark.parametrize("source", ["", "telegram", "IOS"])
def test_member__unknown_source__refused(cast: Cast, source: str) -> None:
    with refusal(Invalid, "unknown_source", "source"):
        choose_own(cast, OUT, Actor.from_user(cast.member, confirmed=True), source=source)


def test_member__operator_opted_them_out__keep_it_off_makes_it_theirs(cast: Cast) -> None:
    choose_own(cast, OUT, cast.provider, source="admin")
    assert last_event().by_operator
    me = Actor.from_user(cast.member, confirmed=True)
    choose_own(cast, OUT, me)
    assert (last_event().kind, last_event().by_operator) == ("choice.confirmed", False)
    with changes_nothing():
        choose_own(cast, OUT, me)


def test_member__checks_the_box_while_the_organization_is_out__stays_out(cast: Cast) -> None:
    choose(cast, OUT, Actor.from_user(cast.owner, confirmed=True))
    me = Actor.from_user(cast.member, confirmed=True)
    choose_own(cast, OUT, me)
    choose_own(cast, IN, me)
    assert not PrivacySetting.objects.get(organization=cast.labs, member=None, product="le_chat").allowed


def test_member__who_has_left__may_opt_out_and_nothing_else(cast: Cast) -> None:
    me = Actor.from_user(cast.member, confirmed=True)
    choose_own(cast, IN, me)
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    assert not choose_own(cast, OUT, me).allowed
    with refusal(Refused, "member_left"):
        choose_own(cast, IN, me)


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_member__organization_cannot_opt_in__neither_can_they_and_opting_out_is_accepted(
    cast: Cast, obstacle: str
) -> None:
    put_in_the_way(cast, obstacle)
    me = Actor.from_user(cast.member, confirmed=True)
    assert choose_own(cast, OUT, me).choice == OUT
    with refusal(Refused, obstacle):
        choose_own(cast, IN, me)


def test_version__member_opts_in_again__required_and_compared(cast: Cast) -> None:
    me = Actor.from_user(cast.member, confirmed=True)
    current = choose_own(cast, OUT, me, version_required=True).version
    with refusal(VersionRequired, "version_required"):
        choose_own(cast, IN, me, version_required=True)
    with refusal(VersionMismatch, "version_mismatch"):
        choose_own(cast, IN, me, expected_version=current + 1)
    assert choose_own(cast, IN, me, expected_version=current, version_required=True).allowed
