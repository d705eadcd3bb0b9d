"""R17: the one person of a personal organization chooses for both layers at once; everybody else writes one layer."""

import dataclasses
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import decisions, verification
from consent.errors import Invalid, Refused, VersionMismatch, VersionRequired
from consent.models import ConsentEvent, PrivacySetting
from consent.presentation import privacy_settings
from consent.services import choices, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, UserFactory
from tests.support.keys import issue_key
from tests.support.ledger_guards import refusal
from tests.support.recordings import Recorded

pytestmark = pytest.mark.thorough

IN, OUT = "opted_in", "opted_out"


@dataclasses.dataclass
class One:
    """A personal account of Frida's on Le Chat Pro and Experiment, and whoever else can write its settings."""

    cast: Cast
    organization: Organization
    member: Member
    person: Actor
    app: Actor
    key: Actor
    operator_key: Actor

    def choose(self, choice: str, where: str = "console", actor: Actor | None = None, **more: Any) -> list[str]:
        """Choose on the console or on the phone; the kinds of the events that it wrote."""
        last = ConsentEvent.objects.latest("pk").pk
        phone = where != "console"
        more = {"source": "console" if not phone else "ios" if where == "app" else "data_controls"} | more
        more = {"version_required": False} | more
        choices.choose(
            surface=LE_CHAT_MOBILE if phone else LE_CHAT_CONSOLE,
            organization=Organization.objects.get(pk=self.organization.pk),
            member=self.member if phone else None,
            choice=choice,
            actor=actor or (self.app if where == "app" else self.person),
            **more,
        )
        events = ConsentEvent.objects.filter(pk__gt=last)
        assert events.values("recorded_at").distinct().count() <= 1
        return [f"{e.kind} {'own' if e.member_id else 'organization'}" for e in events.order_by("pk")]

    def layers(self) -> list[str]:
        return [
            PrivacySetting.objects.filter(organization=self.organization, product="le_chat", member=m)
            .values_list("choice", flat=True)
            .first()
            or "default"
            for m in (None, self.member)
        ]

    def used(self, actor: Actor | None = None) -> tuple[bool, str]:
        question = decisions.Question(organization=str(self.organization.pk), product="le_chat")
        decision = decisions.decide(question, actor or self.cast.provider).decision
        return decision.allowed, decision.reason.value

    def version(self, where: str, actor: Actor | None = None) -> int:
        reader = actor or self.person
        if where == "console":
            organization = Organization.objects.get(pk=self.organization.pk)
            return privacy_settings.organization_setting(organization, LE_CHAT_CONSOLE, reader).version
        member = Member.objects.select_related("organization", "user").get(pk=self.member.pk)
        return privacy_settings.member_setting(member, LE_CHAT_MOBILE, reader).version


def make_one() -> One:
    cast = casting.make()
    frida = UserFactory(email="frida@mail.example", name="Frida Ek")
    made = organizations.create_organization(
        draft=OrganizationDraft(
            name="Frida Ek",
            kind="personal",
            owner=(frida.email, frida.name),
            subscriptions=[plans.get_plan("le_chat_pro"), plans.get_plan("ai_studio_experiment")],
        ),
        actor=cast.provider,
        source="admin",
    )
    app, key, operator_key = (
        Actor.from_key(issue_key("A key", scopes, organization=organization, issued_by=user)[0])
        for scopes, organization, user in (
            (["consent:member"], None, cast.operator),
            (["consent:write", "consent:read"], made, frida),
            (["consent:write", "consent:read"], None, cast.operator),
        )
    )
    member = Member.objects.get(organization=made)
    return One(cast, made, member, Actor.from_user(frida, confirmed=True), app, key, operator_key)


@pytest.fixture
def one(db: None, recorded: Recorded[One]) -> One:
    return recorded(make_one).load()


PLACES = ("console", "data_controls", "app")


@pytest.mark.parametrize("where", PLACES)
def test_choose__by_the_one_person__both_layers_at_one_instant(one: One, where: str) -> None:
    for choice in (OUT, IN, OUT):
        assert one.choose(choice, where) == [f"choice.{choice} organization", f"choice.{choice} own"]
        assert one.layers() == [choice, choice]
        assert one.used()[0] == (choice == IN)
    assert one.choose(OUT, where) == []
    places = {"console": ("le_chat_console", "console"), "app": ("le_chat_mobile", "ios")}
    surface, source = places.get(where, ("le_chat_mobile", "data_controls"))
    assert set(ConsentEvent.objects.filter(kind__startswith="choice.").values_list("surface", "source")) == {
        (surface, source)
    }
    assert verification.verify().problems == []


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("elsewhere", PLACES)
def test_choose__by_the_one_person_in_another_place__the_same_choice(one: One, where: str, elsewhere: str) -> None:
    one.choose(OUT, where)
    assert one.choose(OUT, elsewhere) == []
    assert len(one.choose(IN, elsewhere)) == 2
    assert (one.layers(), one.used()) == ([IN, IN], (True, "organization_opted_in"))


@pytest.mark.parametrize("where", PLACES)
def test_opt_in__plan_out_by_default__needs_the_reason_of_the_organization(one: One, where: str) -> None:
    casting.subscribe(one.organization, "le_chat_teams", one.cast.provider)
    with refusal(Invalid, "required", "reason"):
        one.choose(IN, where)
    assert len(one.choose(IN, where, reason="I want to help")) == 2


@pytest.mark.parametrize("where", PLACES)
def test_opt_in__locked_ended_closed__refused_whole(one: One, where: str) -> None:
    one.choose(OUT, where)
    provider: dict[str, Any] = {"organization": one.organization, "actor": one.cast.provider, "source": "admin"}
    locks.place_lock(product="le_chat", reason="law", reference="L-1", **provider)
    with refusal(Refused, "locked", ""):
        one.choose(IN, where)
    assert one.choose(OUT, where) == []
    plans.end_subscription(product="le_chat", **provider)
    with refusal(Refused, "no_subscription", ""):
        one.choose(IN, where)
    organizations.close_organization(reason="over", **provider)
    with refusal(Refused, "organization_closed", ""):
        one.choose(IN, where)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("changed", ["console", "data_controls"])
def test_opt_in__version__is_that_of_both_layers(one: One, where: str, changed: str) -> None:
    one.choose(OUT, where)
    reader = one.app if where == "app" else one.person
    seen = one.version("console" if where == "console" else "phone", reader)
    with refusal(VersionRequired, "version_required", ""):
        one.choose(IN, where, version_required=True)
    if changed == "console":  # a change of either layer makes what was seen stale
        one.choose(IN, "console", one.cast.provider, source="admin", reason="asked for")
        one.choose(OUT, "console", one.cast.provider, source="admin")
    else:
        one.choose(IN, "data_controls")
        one.choose(OUT, "data_controls", one.cast.provider, source="admin")
    with refusal(VersionMismatch, "version_mismatch", ""):
        one.choose(IN, where, expected_version=seen, version_required=True)
    now = one.version("console" if where == "console" else "phone", reader)
    assert one.choose(IN, where, expected_version=now, version_required=True)
    assert one.layers() == [IN, IN]


def test_versions__of_one_person__agree_on_both_pages(one: One) -> None:
    for where in ("console", "data_controls", "app"):
        for choice in (OUT, IN):
            one.choose(choice, where)
            assert one.version("console") == one.version("phone")


@pytest.mark.parametrize("choice", [IN, OUT])
def test_choose__by_others__their_own_layer_alone(one: One, choice: str) -> None:
    provider = {"source": "admin", "reason": "asked for"}
    assert one.choose(choice, "console", one.cast.provider, **provider) == [f"choice.{choice} organization"]
    assert one.layers() == [choice, "default"]
    if choice == OUT:
        assert one.choose(OUT, "data_controls", one.cast.provider, **provider) == ["choice.opted_out own"]


def test_choose__by_the_organizations_key__the_organizations_layer_alone(one: One) -> None:
    assert one.choose(OUT, "console", one.key, source="api") == ["choice.opted_out organization"]
    assert one.choose(IN, "console", one.key, source="api") == ["choice.opted_in organization"]
    assert one.layers() == [IN, "default"]


@pytest.mark.parametrize("where", PLACES)
def test_opt_in__by_a_key_while_the_person_is_out__refused(one: One, where: str) -> None:
    one.choose(OUT, where)
    for key in (one.key, one.operator_key):
        with refusal(Refused, "person_opted_out", ""):
            one.choose(IN, "console", key, source="api", reason="why")
    assert one.choose(OUT, "console", one.key, source="api") == []


def test_opt_in__by_a_key_while_the_provider_has_opted_the_person_out__refused(one: One) -> None:
    one.choose(OUT, "data_controls", one.cast.provider, source="admin")
    with refusal(Refused, "person_opted_out", ""):
        one.choose(IN, "console", one.key, source="api")


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("who", ["cast.provider", "key"])
def test_choose__what_others_set__becomes_the_persons_by_their_word(one: One, where: str, who: str) -> None:
    actor = one.key if who == "key" else one.cast.provider
    one.choose(OUT, "console", actor, source="api" if who == "key" else "admin")
    assert one.choose(OUT, where) == ["choice.confirmed organization", "choice.opted_out own"]
    assert one.choose(OUT, where) == []


def become(one: One, kind: str, actor: Actor | None = None) -> list[str]:
    last = ConsentEvent.objects.latest("pk").pk
    organizations.update_organization(
        organization=Organization.objects.get(pk=one.organization.pk),
        actor=actor or one.person,
        source="console",
        kind=kind,
    )
    events = ConsentEvent.objects.filter(pk__gt=last)
    assert events.values("recorded_at").distinct().count() == 1
    return [f"{e.kind} {'own' if e.member_id else 'organization'}" for e in events.order_by("pk")]


@pytest.mark.parametrize("where", ["console", "data_controls"])
def test_becoming_personal__opted_out_in_one_layer__in_both_at_that_instant(one: One, where: str) -> None:
    become(one, "team")
    assert len(one.choose(OUT, where)) == 1  # a team's layers are two choices
    other = "own" if where == "console" else "organization"
    assert become(one, "personal") == ["organization.kind_changed organization", f"choice.opted_out {other}"]
    assert one.layers() == [OUT, OUT]
    assert verification.verify().problems == []


def test_becoming_personal__no_layer_or_both_out__kind_alone_changes(one: One) -> None:
    become(one, "team")
    assert become(one, "personal") == ["organization.kind_changed organization"]
    one.choose(OUT, "console")
    become(one, "team")
    assert become(one, "personal") == ["organization.kind_changed organization"]


def test_team__its_only_person__two_choices(one: One) -> None:
    become(one, "team")
    assert one.choose(OUT, "data_controls") == ["choice.opted_out own"]
    assert one.choose(IN, "console") == ["choice.opted_in organization"]
    assert one.layers() == [IN, OUT]


def test_operator_of_their_own_personal_account__on_the_operators_site_is_the_provider(one: One) -> None:
    User.objects.filter(pk=one.member.user_id).update(is_staff=True)
    staff = Actor.from_user(User.objects.get(pk=one.member.user_id), confirmed=True)
    assert one.choose(OUT, "console", staff, source="admin") == ["choice.opted_out organization"]
    assert one.choose(OUT, "console", staff) == ["choice.confirmed organization", "choice.opted_out own"]


def test_opt_out_everywhere__personal_organization__its_products_too(one: One) -> None:
    MemberFactory(organization=one.cast.labs, user=User.objects.get(pk=one.member.user_id), actor=one.cast.provider)
    before = list(PrivacySetting.objects.of_organizations().filter(organization=one.cast.labs).values())
    choices.opt_out_everywhere(actor=one.person, source="data_controls")
    assert one.layers() == [OUT, OUT]
    mine = PrivacySetting.objects.get(organization=one.organization, product="ai_studio")
    assert (mine.choice, mine.allowed) == (OUT, False)
    joined = PrivacySetting.objects.of_members().get(organization=one.cast.labs)
    assert (joined.choice, joined.member.user_id if joined.member else None) == (OUT, one.member.user_id)
    assert list(PrivacySetting.objects.of_organizations().filter(organization=one.cast.labs).values()) == before
    again = ConsentEvent.objects.latest("pk").pk
    choices.opt_out_everywhere(actor=one.person, source="data_controls")
    assert ConsentEvent.objects.latest("pk").pk == again


def test_personal__nobody_else_gets_in__by_any_way(one: One) -> None:
    provider: dict[str, Any] = {"actor": one.cast.provider, "source": "admin"}
    with refusal(Refused, "personal", ""):
        members.add_member(organization=one.organization, email="x@x.example", role="owner", **provider)
    with refusal(Refused, "personal", "role"):
        members.update_member(member=one.member, role="admin", **provider)
    choices.choose(
        surface=AI_STUDIO_CONSOLE,
        organization=one.organization,
        choice=OUT,
        actor=one.person,
        source="console",
        version_required=False,
    )


def test_version__seen_before_it_became_a_team__is_stale_whatever_came_since(one: One) -> None:
    one.choose(OUT)
    seen = one.version("console")
    organization = organizations.update_organization(
        organization=one.organization, kind="team", actor=one.cast.provider, source="admin"
    )
    for plan in ("le_chat_free", "le_chat_pro") * 3:
        with pytest.raises(VersionMismatch):
            one.choose(IN, expected_version=seen)
        plans.subscribe(organization=organization, plan=plans.get_plan(plan), actor=one.cast.provider, source="admin")
    assert one.layers() == [OUT, OUT]
