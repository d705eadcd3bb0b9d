import datetime as dt

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Organization
from consent import ledger
from consent.models import ConsentEvent
from consent.services import choices, members, organizations
from consent.services.plans import get_plan, subscribe
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.commands import Run, database, run
from tests.support.factories import ActorFactory, OrganizationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def acme(operator: Actor) -> Organization:
    [organization] = OrganizationFactory.with_ids("acme", plan="le_chat_pro", actor=operator)
    members.add_member(
        organization=organization,
        email="ada@acme.example",
        external_id="ada",
        role="owner",
        actor=operator,
        source="api",
    )
    return organization


def explain(*argv: str) -> Run:
    before = database()
    result = run("explain", *argv)
    assert database() == before
    return result


def test_explain__allowed__every_layer_with_its_event(acme: Organization) -> None:
    result = explain("external:acme", "le_chat", "--member", "external:ada", "--format", "json")
    assert (result.code, result.err) == (0, "")
    assert (result.json["allowed"], result.json["reason"]) == (True, "plan_default")
    organization, member, external_id = result.json["layers"]
    started = ConsentEvent.objects.get(kind="subscription.started")
    assert organization == {
        "layer": "organization",
        "allowed": True,
        "reason": "plan_default",
        "since": started.recorded_at.isoformat().replace("+00:00", "Z"),
        "event": started.pk,
    }
    assert (member["layer"], member["allowed"], member["event"]) == ("member", True, None)
    joined = ConsentEvent.objects.get(kind="member.joined", member__bindings__value="ada")
    assert external_id == {
        "layer": "external_id",
        "allowed": True,
        "reason": "external_id",
        "since": joined.recorded_at.isoformat().replace("+00:00", "Z"),
        "event": joined.pk,
    }


def test_explain__denied__in_words(acme: Organization, operator: Actor) -> None:
    choices.choose(surface=LE_CHAT_CONSOLE, organization=acme, choice="opted_out", actor=operator, source="admin")
    result = explain(str(acme.pk), "le_chat", "--member", "external:ada")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == "allowed     no"
    assert lines[1] == "reason      organization_opted_out"
    assert lines[2].startswith("detail      acme Ltd opted out on ")
    assert lines[5].split() == ["layer", "allowed", "reason", "since", "event"]
    assert lines[6].split()[:3] == ["organization", "no", "organization_opted_out"]
    assert lines[7].split()[:3] == ["member", "yes", "default"]


def test_explain__at_before_the_opt_out__allowed_then(acme: Organization, operator: Actor) -> None:
    setting = choices.choose(
        surface=LE_CHAT_CONSOLE, organization=acme, choice="opted_out", actor=operator, source="admin"
    )
    just_before = setting.changed_at - dt.timedelta(microseconds=1)
    argv = ("external:acme", "le_chat", "--member", "external:ada", "--format", "json", "--at")
    assert explain(*argv, just_before.isoformat()).json["allowed"] is True
    assert explain(*argv, setting.changed_at.isoformat()).json["reason"] == "organization_opted_out"


def test_explain__collected_before_it_was_allowed__says_so(acme: Organization) -> None:
    collected = (acme.created_at - dt.timedelta(days=1)).isoformat()
    result = explain(
        "external:acme", "le_chat", "--member", "external:ada", "--collected-at", collected, "--format", "json"
    )
    assert (result.code, result.json["reason"]) == (0, "collected_before_allowed")


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["external:nobody", "le_chat"], "unknown_organization"),
        (["\x00", "le_chat"], "unknown_organization"),
        (["external:acme", "le_chien"], "unknown_product"),
        (["external:acme", "le_chat", "--data-kind", "dream"], "unknown_data_kind"),
        (["external:acme", "le_chat", "--at", "2999-01-01T00:00:00Z"], "not_yet_known"),
        (["external:acme", "le_chat"], "member_required"),
        (["external:acme", "le_chat", "--member", "external:bo"], "unknown_member"),
        (["external:acme", "ai_studio"], "no_subscription"),
    ],
)
def test_explain__unknown__denied_with_exit_0(acme: Organization, argv: list[str], reason: str) -> None:
    result = explain(*argv, "--format", "json")
    assert (result.code, result.json["allowed"], result.json["reason"]) == (0, False, reason)


@pytest.mark.parametrize("option", ["--at", "--collected-at"])
@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "2026-01-01", "yesterday", "", "0001-01-01T00:00:00+14:00"])
def test_explain__instant_without_time_zone_or_sense__exits_2(acme: Organization, option: str, text: str) -> None:
    result = explain("external:acme", "le_chat", option, text)
    assert (result.code, result.out) == (2, "")
    assert f"{option}: “{text}”" in result.err


def test_explain__name_with_control_characters__escaped_in_both_forms(acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(name="A\x1b[2J\u202eB")
    for form in ("table", "json"):
        result = explain("external:acme", "ai_studio", "--format", form)
        assert "\\u001b[2J\\u202eB" in result.out
        assert "\x1b" not in result.out


def test_system_actor__any_change__forbidden(acme: Organization) -> None:
    before = database()
    with pytest.raises(Forbidden):
        choices.choose(
            surface=LE_CHAT_CONSOLE, organization=acme, choice="opted_out", actor=Actor.system(), source="command"
        )
    with pytest.raises(Forbidden):
        subscribe(organization=acme, plan=get_plan("le_chat_free"), actor=Actor.system(), source="command")
    assert database() == before


def test_explain__by_ids_withdrawn_since__the_layer_as_of_an_instant_and_nobody_now(
    acme: Organization, operator: Actor
) -> None:
    at = ledger.clock()
    organizations.update_organization(organization=acme, external_id=None, actor=operator, source="api")
    asked = ("external: acme", "le_chat", "--member", "external:ada", "--format", "json")
    assert explain(*asked).json["reason"] == "unknown_organization"
    then = explain(*asked, "--at", at.isoformat()).json
    assert (then["allowed"], [each["layer"] for each in then["layers"]]) == (
        True, ["organization", "member", "external_id"],
    )  # fmt: skip
    assert "external_id" in explain("external:acme", "le_chat", "--member", "external:ada", "--at", at.isoformat()).out
