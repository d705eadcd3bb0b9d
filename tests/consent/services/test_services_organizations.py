"""Organizations: created in one step, so that nothing is allowed too early; changed, closed, reopened with events."""

import datetime as dt
from typing import Any

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Member, Organization, Subscription, User
from consent import decisions, verification
from consent.errors import Invalid, Refused
from consent.lookups import Question
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices, locks, members, organizations, plans
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, kinds_since, last_event, refusal

MICROSECOND = dt.timedelta(microseconds=1)


def create(cast: Cast, actor: Actor | None = None, **changes: Any) -> Organization:
    draft = OrganizationDraft(**{"name": "Saga Institute"} | changes)
    return organizations.create_organization(draft=draft, actor=actor or cast.provider, source="api")


def change(cast: Cast, actor: Actor | None = None, reason: str = "", **changes: Any) -> Organization:
    return organizations.update_organization(
        organization=cast.labs, actor=actor or cast.provider, source="api", reason=reason, **changes
    )


def close(cast: Cast, actor: Actor | None = None, reason: str = "Over") -> Organization:
    return organizations.close_organization(
        organization=cast.labs, actor=actor or cast.provider, source="admin", reason=reason
    )


def reopen(cast: Cast, actor: Actor | None = None, reason: str = "Back") -> Organization:
    return organizations.reopen_organization(
        organization=cast.labs, actor=actor or cast.provider, source="admin", reason=reason
    )


def everybody(cast: Cast) -> list[Actor]:
    """All who are not the provider."""
    people = [
        Actor.from_user(getattr(cast, role), confirmed=True)
        for role in ("owner", "admin", "auditor", "member", "outsider")
    ]
    return [*people, Actor.from_key(issue_key("Theirs", ["organizations:write"], organization=cast.labs)[0])]


# --- Creating ----------------------------------------------------------------------------------------------------


def test_create__personal_with_owner_plans_and_opt_out__everything_with_its_event(cast: Cast) -> None:
    last = last_event().pk
    made = create(
        cast,
        name="  Frida Ek ",
        kind="personal",
        external_id=" acc-1 ",
        country="se",
        owner=(" Frida@Example.ORG ", "Frida Ek"),
        subscriptions=[plans.get_plan("le_chat_free"), plans.get_plan("ai_studio_experiment")],
        choices={"le_chat": "opted_out"},
    )
    assert (made.name, made.external_id, made.country, made.kind) == ("Frida Ek", "acc-1", "SE", "personal")
    assert kinds_since(last) == [
        "organization.created",
        "member.joined",
        "choice.opted_out",
        "subscription.started",
        "subscription.started",
    ]
    owner = Member.objects.get(organization=made)
    assert (owner.role, owner.user.email, owner.user.name) == ("owner", "frida@example.org", "Frida Ek")
    assert not owner.user.has_usable_password()
    told = {s.product: (s.choice, s.allowed) for s in PrivacySetting.objects.filter(organization=made)}
    assert told == {"le_chat": ("opted_out", False), "ai_studio": ("default", True)}
    assert Subscription.objects.filter(organization=made, ended_at=None).count() == 2
    assert all(e.by_operator for e in ConsentEvent.objects.filter(pk__gt=last))
    assert verification.verify().problems == []


def test_create__opted_out_from_the_start__denied_at_every_instant_and_beside_it(cast: Cast) -> None:
    made = create(
        cast,
        subscriptions=[plans.get_plan("le_chat_free"), plans.get_plan("ai_studio_experiment")],
        choices={"le_chat": "opted_out", "ai_studio": "opted_out"},
    )
    member = members.add_member(organization=made, email="a@saga.example", actor=cast.provider, source="api")
    instants = set(ConsentEvent.objects.filter(organization=made).values_list("recorded_at", flat=True))
    assert len(instants) >= 3
    asked = [each + beside for each in instants for beside in (-MICROSECOND, dt.timedelta(), MICROSECOND)]
    questions = [
        Question(str(made.pk), product, str(member.pk) if product == "le_chat" else None, at=at, collected_at=collected)
        for product in ("le_chat", "ai_studio")
        for at in [None, *asked]
        for collected in (None, at)
    ]
    answers = decisions.decide_many(questions, cast.provider)
    assert not any(decision.allowed for decision in answers.decisions)
    for question in questions:
        assert not decisions.decide(question, cast.provider).decision.allowed


def test_create__plan_opted_in_by_default__allowed_from_the_subscription_on_and_not_before(cast: Cast) -> None:
    made = create(cast, subscriptions=[plans.get_plan("ai_studio_experiment")])
    setting = PrivacySetting.objects.get(organization=made)
    assert setting.since is not None
    for beside, allowed in ((-MICROSECOND, False), (dt.timedelta(), True), (MICROSECOND, True)):
        at = setting.since + beside
        assert decisions.decide(Question(str(made.pk), "ai_studio", at=at), cast.provider).decision.allowed == allowed


BAD_DRAFTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no name": ({"name": "  "}, "required", "name"),
    "long name": ({"name": "x" * 201}, "too_long", "name"),
    "kind": ({"kind": "company"}, "unknown_kind", "kind"),
    "personal without owner": ({"kind": "personal"}, "owner", "owner"),
    "team with owner": ({"owner": ("a@b.example", "A")}, "owner", "owner"),
    "owner's address": ({"kind": "personal", "owner": ("nobody", "A")}, "invalid", "email"),
    "country": ({"country": "Sweden"}, "invalid", "country"),
    "country in digits": ({"country": "12"}, "invalid", "country"),
    "choice": ({"choices": {"le_chat": "maybe"}}, "unknown_choice", "choices/le_chat"),
    "opted in": ({"choices": {"le_chat": "opted_in"}}, "opted_in", "choices/le_chat"),
    "long external id": ({"external_id": "x" * 201}, "too_long", "external_id"),
}


@pytest.mark.parametrize("what", BAD_DRAFTS)
def test_create__bad_value__refused_by_name_and_nothing_is_made(cast: Cast, what: str) -> None:
    changes, code, field = BAD_DRAFTS[what]
    with refusal(Invalid, code, field):
        create(cast, **changes)


def test_create__choice_for_a_product_there_is_not__refused(cast: Cast) -> None:
    with refusal(Invalid, "unknown_product", "choices"):
        create(cast, choices={"telepathy": "opted_out"})


def test_create__two_plans_of_one_product__refused(cast: Cast) -> None:
    with refusal(Invalid, "subscriptions", "subscriptions"):
        create(cast, subscriptions=[plans.get_plan("le_chat_free"), plans.get_plan("le_chat_pro")])


def test_create__external_id_taken__all_or_none(cast: Cast) -> None:
    create(cast, external_id="acc-1")
    with refusal(Refused, "exists", "external_id"):
        create(cast, external_id="acc-1")
    drafts = [OrganizationDraft(name=f"N{n}", external_id=each) for n, each in enumerate(("a", "b", "acc-1"))]
    with refusal(Refused, "exists", "external_id"):
        organizations.create_organizations(drafts, actor=cast.provider, source="import")
    with refusal(Invalid, "duplicate", "external_id"):
        organizations.create_organizations([drafts[0], drafts[0]], actor=cast.provider, source="import")


def test_create__unknown_source__refused(cast: Cast) -> None:
    with refusal(Invalid, "unknown_source", "source"):
        organizations.create_organization(draft=OrganizationDraft(name="X"), actor=cast.provider, source="fax")


def test_create_close_reopen__anybody_but_the_provider__forbidden(cast: Cast) -> None:
    for actor in everybody(cast):
        for call in (create, close, reopen):
            with refusal(Forbidden):
                call(cast, actor)


def test_create__by_operator_key_with_the_scope__made(cast: Cast) -> None:
    actor = Actor.from_key(issue_key("CRM", ["organizations:write"])[0])
    assert create(cast, actor).pk
    assert (last_event().actor_type, last_event().actor_id) == ("api_key", actor.id)


# --- Changing ----------------------------------------------------------------------------------------------------


def test_update__several_fields__one_event_that_names_fields_and_no_values(cast: Cast) -> None:
    last = last_event().pk
    changed = change(cast, name="Kvasir Research", country="no", external_id="acc-7")
    assert (changed.name, changed.country, changed.external_id) == ("Kvasir Research", "NO", "acc-7")
    assert kinds_since(last) == ["organization.updated", "external_id.given"]
    event, given = ConsentEvent.objects.filter(pk__gt=last).order_by("pk")
    assert (event.before, event.after, event.product) == ("", "country, name", "")
    assert (given.before, given.after, given.product) == ("", str(cast.labs.bindings.get().pk), "")
    event = given
    assert event.recorded_at == Organization.objects.get(pk=cast.labs.pk).changed_at


def test_update__what_is_so_already__writes_nothing(cast: Cast) -> None:
    change(cast, external_id="acc-7", country="SE")
    with changes_nothing():
        change(cast)
        change(cast, name=f" {cast.labs.name} ", external_id=" acc-7", country="se", kind="team")


@pytest.mark.parametrize(
    ("changes", "error", "code", "field"),
    [
        ({"name": " "}, Invalid, "required", "name"),
        ({"country": "Norway"}, Invalid, "invalid", "country"),
        ({"kind": "club"}, Invalid, "unknown_kind", "kind"),
        ({"kind": "personal"}, Refused, "personal", "kind"),
        ({"external_id": "taken"}, Refused, "exists", "external_id"),
        ({"name": "New", "kind": "club"}, Invalid, "unknown_kind", "kind"),
    ],
)
def test_update__bad_value__refused_by_name(
    cast: Cast, changes: dict[str, Any], error: type[Exception], code: str, field: str
) -> None:
    create(cast, external_id="taken")
    with refusal(error, code, field):
        change(cast, **changes)


def test_update__by_those_without_the_right__forbidden(cast: Cast) -> None:
    for role in ("auditor", "member", "outsider"):
        with refusal(Forbidden):
            change(cast, Actor.from_user(getattr(cast, role), confirmed=True), name="Theirs now")


def test_update__kind__team_with_its_owner_alone_becomes_personal_and_back(cast: Cast) -> None:
    states = list(PrivacySetting.objects.values_list("pk", "choice", "allowed", "since", "version"))
    for kind, before in (("personal", "team"), ("team", "personal")):
        made = organizations.update_organization(
            organization=cast.brage, actor=Actor.from_user(cast.outsider, confirmed=True), source="console", kind=kind
        )
        assert (made.kind, made.had_others) == (kind, False)
        event = last_event()
        assert (event.kind, event.before, event.after) == ("organization.kind_changed", before, kind)
    assert list(PrivacySetting.objects.values_list("pk", "choice", "allowed", "since", "version")) == states


def test_update__kind__team_that_others_left_stays_a_team(cast: Cast) -> None:
    for member in Member.objects.filter(organization=cast.labs).exclude(user=cast.owner):
        members.remove_member(member=member, actor=cast.provider, source="admin")
    for actor in (cast.provider, Actor.from_user(cast.owner, confirmed=True)):
        with refusal(Refused, "personal", "kind"):
            change(cast, actor, kind="personal", name="Mine alone")


# --- Closing and reopening -----------------------------------------------------------------------------------------


def test_close__several_products__one_event_each_all_of_one_instant(cast: Cast) -> None:
    last = last_event().pk
    close(cast, reason=" Contract over ")
    events = list(ConsentEvent.objects.filter(pk__gt=last))
    assert {(e.kind, e.product, e.allowed, e.reason_code, e.before, e.after, e.reason) for e in events} == {
        ("organization.closed", product, False, "organization_closed", "active", "closed", "Contract over")
        for product in ("le_chat", "ai_studio")
    }
    (at,) = {event.recorded_at for event in events}
    organization = Organization.objects.get(pk=cast.labs.pk)
    assert (organization.status, organization.changed_at) == ("closed", at)
    for beside, reason in ((-MICROSECOND, "plan_default"), (dt.timedelta(), "organization_closed")):
        question = Question(str(cast.labs.pk), "le_chat", str(cast.labs_member.pk), at=at + beside)
        assert decisions.decide(question, cast.provider).decision.reason == reason
    assert verification.verify().problems == []


def test_close__organization_without_any_setting__both_products_closed(cast: Cast) -> None:
    made = create(cast)
    organizations.close_organization(organization=made, actor=cast.provider, source="admin", reason="Over")
    assert list(PrivacySetting.objects.filter(organization=made).values_list("closed", flat=True)) == [True, True]
    assert verification.verify().problems == []


def test_close_and_reopen__again__write_nothing(cast: Cast) -> None:
    with changes_nothing():
        reopen(cast)
    close(cast)
    with changes_nothing():
        close(cast, reason="Another reason")


@pytest.mark.parametrize("call", [close, reopen])
def test_close_and_reopen__without_a_reason__refused(cast: Cast, call: Any) -> None:
    with refusal(Invalid, "required", "reason"):
        call(cast, reason="  ")


def test_reopen__choices_locks_and_plans__as_they_were_with_a_new_since(cast: Cast) -> None:
    of_labs = {"organization": cast.labs, "actor": cast.provider, "source": "admin"}
    choices.choose(surface=LE_CHAT_CONSOLE, **of_labs, choice="opted_in", reason="Signed", version_required=False)
    locks.place_lock(**of_labs, product="ai_studio", reason="Contract", reference="C-1")
    close(cast)
    reopen(cast)
    le_chat, ai_studio = (
        PrivacySetting.objects.get(organization=cast.labs, member=None, product=product)
        for product in ("le_chat", "ai_studio")
    )
    assert (le_chat.choice, le_chat.allowed, le_chat.since) == ("opted_in", True, last_event().recorded_at)
    assert (ai_studio.locked, ai_studio.allowed) == (True, False)
    assert verification.verify().problems == []


def test_closed_account__joining_and_subscribing__refused(cast: Cast) -> None:
    close(cast)
    with refusal(Refused, "organization_closed"):
        members.add_member(organization=cast.labs, email="new@kvasir.example", actor=cast.provider, source="admin")
    with refusal(Refused, "organization_closed"):
        casting.subscribe(cast.labs, "le_chat_free", cast.provider)
    assert not User.objects.filter(email="new@kvasir.example").exists()
