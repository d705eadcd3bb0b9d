"""Members: one permanent row for each, at least one owner, choices are kept when they leave (R5, R14, R15)."""

from typing import Any

import pytest

from accounts.access import Actor, Forbidden
from accounts.models import Member, User
from consent import decisions, verification
from consent.errors import Invalid, Refused
from consent.lookups import Question
from consent.models import ConsentEvent, PrivacySetting
from consent.services import members, organizations
from consent.services.organizations import OrganizationDraft
from tests.support.cast import Cast
from tests.support.choices import opt_out_as_member
from tests.support.keys import issue_key
from tests.support.ledger_guards import changes_nothing, kinds_since, last_event, refusal


def add(cast: Cast, email: str = "new@kvasir.example", actor: Actor | None = None, **changes: Any) -> Member:
    wanted: dict[str, Any] = {"organization": cast.labs, "source": "console"} | changes
    return members.add_member(email=email, actor=actor or cast.provider, **wanted)


def update(cast: Cast, member: Member | None = None, actor: Actor | None = None, **changes: Any) -> Member:
    return members.update_member(
        member=member or cast.labs_member, actor=actor or cast.provider, source="console", **changes
    )


def remove(cast: Cast, member: Member | None = None, actor: Actor | None = None) -> Member:
    return members.remove_member(member=member or cast.labs_member, actor=actor or cast.provider, source="console")


def owner_of(cast: Cast) -> Member:
    return Member.objects.get(organization=cast.labs, user=cast.owner)


def opt_out(cast: Cast) -> PrivacySetting:
    return opt_out_as_member(cast)


def test_add__somebody_new__user_member_and_one_event(cast: Cast) -> None:
    last = last_event().pk
    member = add(cast, " New@Kvasir.Example ", name=" Ny Person ", role="auditor", external_id=" m-1 ")
    assert (member.user.email, member.user.name) == ("new@kvasir.example", "Ny Person")
    assert not member.user.has_usable_password()
    assert (member.role, member.external_id, member.status) == ("auditor", "m-1", "active")
    assert kinds_since(last) == ["member.joined"]
    event = last_event()
    assert (event.member, event.organization, event.product, event.after) == (member, cast.labs, "", "auditor")
    assert event.recorded_at == event.since == member.joined_at == member.changed_at
    assert verification.verify().problems == []


def test_add__a_known_user__is_the_same_person_and_keeps_their_name(cast: Cast) -> None:
    count = User.objects.count()
    member = add(cast, "ELI@brage.example", name="Somebody Else")
    assert (member.user, member.user.name) == (cast.outsider, "Eli Berg")
    assert User.objects.count() == count


@pytest.mark.parametrize(
    ("changes", "error", "code", "field"),
    [
        ({"email": "nobody"}, Invalid, "invalid", "email"),
        ({"email": ""}, Invalid, "invalid", "email"),
        ({"role": "king"}, Invalid, "unknown_role", "role"),
        ({"external_id": "x" * 201}, Invalid, "too_long", "external_id"),
        ({"name": "x" * 201}, Invalid, "too_long", "name"),
        ({"source": "fax"}, Invalid, "unknown_source", "source"),
        ({"email": "dag@kvasir.example"}, Refused, "exists", ""),
        ({"external_id": "taken"}, Refused, "exists", "external_id"),
    ],
)
def test_add__bad_value__refused_by_name_and_no_user_is_made(
    cast: Cast, changes: dict[str, Any], error: type[Exception], code: str, field: str
) -> None:
    update(cast, external_id="taken")
    with refusal(error, code, field):
        add(cast, **changes)


def test_add__external_id_of_another_organizations_member__may_be_the_same(cast: Cast) -> None:
    update(cast, external_id="m-1")
    assert add(cast, "new@brage.example", organization=cast.brage, external_id="m-1").external_id == "m-1"


def test_add__personal_organization__refused(cast: Cast) -> None:
    personal = organizations.create_organization(
        draft=OrganizationDraft(name="Frida", kind="personal", owner=("f@example.org", "Frida")),
        actor=cast.provider,
        source="api",
    )
    with refusal(Refused, "personal"):
        add(cast, organization=personal)
    with refusal(Refused, "personal", "role"):
        update(cast, Member.objects.get(organization=personal), role="member")
    with refusal(Refused, "last_owner"):
        remove(cast, Member.objects.get(organization=personal))


def test_members__by_those_without_the_right__forbidden(cast: Cast) -> None:
    without = [Actor.from_user(getattr(cast, role), confirmed=True) for role in ("auditor", "member", "outsider")]
    without += [
        Actor.from_key(issue_key("Theirs", ["organizations:write"], organization=cast.brage)[0]),
        Actor.from_key(issue_key("Reader", ["organizations:read"], organization=cast.labs)[0]),
    ]
    for actor in without:
        with refusal(Forbidden):
            add(cast, actor=actor)
        with refusal(Forbidden):
            update(cast, actor=actor, role="owner")
        with refusal(Forbidden):
            remove(cast, actor=actor)


def test_members__by_owner_admin_operator_and_keys__done(cast: Cast) -> None:
    keys = [issue_key("K", ["organizations:write"], organization=of)[0] for of in (None, cast.labs)]
    able = [Actor.from_user(getattr(cast, role), confirmed=True) for role in ("owner", "admin", "operator")]
    for n, actor in enumerate([*able, *map(Actor.from_key, keys)]):
        member = add(cast, f"n{n}@kvasir.example", actor if actor.is_operator else cast.provider)
        assert update(cast, member, actor, role="admin").role == "admin"
        assert remove(cast, member, actor).has_left
    assert verification.verify().problems == []


# --- Leaving and joining again -------------------------------------------------------------------------------------


def test_remove__member__has_left_with_one_event_and_again_none(cast: Cast) -> None:
    last = last_event().pk
    left = remove(cast)
    event = last_event()
    assert kinds_since(last) == ["member.left"]
    assert (left.status, left.left_at) == ("left", event.recorded_at)
    assert (event.before, event.since, event.allowed, event.reason_code) == (
        "member",
        left.joined_at,
        False,
        "member_left",
    )
    with changes_nothing():
        remove(cast)


def test_join_again__after_leaving__same_row_choice_kept_and_a_new_since(cast: Cast) -> None:
    update(cast, external_id="m-1")
    own = opt_out(cast)
    first = Member.objects.get(pk=cast.labs_member.pk).joined_at
    left = remove(cast)
    last = last_event().pk
    again = add(cast, cast.member.email.upper(), role="admin")
    assert kinds_since(last) == ["member.joined"]
    assert again.pk == cast.labs_member.pk
    assert Member.objects.filter(organization=cast.labs, user=cast.member).count() == 1
    assert (again.role, again.status, again.left_at, again.external_id) == ("admin", "active", None, "m-1")
    assert first < left.left_at < again.joined_at == last_event().recorded_at
    assert PrivacySetting.objects.get(member=again).state == own.state
    assert verification.verify().problems == []


def test_join_again__without_a_choice__earlier_data_does_not_come_back(cast: Cast) -> None:
    joined = cast.labs_member.joined_at
    remove(cast)
    again = add(cast, cast.member.email)
    ask = {"organization": str(cast.labs.pk), "product": "le_chat", "member": str(again.pk)}
    early = decisions.decide(Question(**ask, collected_at=joined), cast.provider).decision
    fresh = decisions.decide(Question(**ask, collected_at=again.joined_at), cast.provider).decision
    assert (early.allowed, early.reason) == (False, "collected_before_allowed")
    assert fresh.allowed


# --- Roles and the last owner ---------------------------------------------------------------------------------------


def test_update__role__one_event_and_the_same_again_none(cast: Cast) -> None:
    last = last_event().pk
    update(cast, role="auditor")
    event = last_event()
    assert kinds_since(last) == ["member.role_changed"]
    assert (event.before, event.after, event.member) == ("member", "auditor", cast.labs_member)
    with changes_nothing():
        update(cast, role="auditor")
        update(cast, external_id="  ")
        update(cast)


def test_update__external_id_and_role__an_event_each_without_the_id_in_it(cast: Cast) -> None:
    last = last_event().pk
    update(cast, role="admin", external_id="m-1")
    assert kinds_since(last) == ["external_id.given", "member.role_changed"]
    assert not ConsentEvent.objects.filter(after__contains="m-1").exists()
    assert update(cast, external_id=None).external_id is None
    assert verification.verify().problems == []


@pytest.mark.parametrize("role", ["admin", "member", "auditor"])
def test_update__last_owner_to_another_role__refused_and_nothing_of_the_rest_is_kept(cast: Cast, role: str) -> None:
    with refusal(Refused, "last_owner"):
        update(cast, owner_of(cast), role=role)
    with refusal(Refused, "last_owner"):
        update(cast, owner_of(cast), external_id="o-1", role=role)


def test_last_owner__leaves__refused_until_somebody_else_is_owner(cast: Cast) -> None:
    with refusal(Refused, "last_owner"):
        remove(cast, owner_of(cast))
    update(cast, role="owner")
    assert remove(cast, owner_of(cast)).has_left
    with refusal(Refused, "last_owner"):
        remove(cast)


def test_last_owner__the_other_owner_has_left__refused(cast: Cast) -> None:
    update(cast, role="owner")
    remove(cast)
    with refusal(Refused, "last_owner"):
        remove(cast, owner_of(cast))


@pytest.mark.parametrize(
    ("changes", "error", "code", "field"),
    [
        ({"role": "king"}, Invalid, "unknown_role", "role"),
        ({"external_id": "x" * 201}, Invalid, "too_long", "external_id"),
        ({"external_id": "taken"}, Refused, "exists", "external_id"),
        ({"external_id": "fresh", "role": "king"}, Invalid, "unknown_role", "role"),
    ],
)
def test_update__bad_value__refused_by_name(
    cast: Cast, changes: dict[str, Any], error: type[Exception], code: str, field: str
) -> None:
    update(cast, owner_of(cast), external_id="taken")
    with refusal(error, code, field):
        update(cast, **changes)


def test_update__member_who_has_left__refused(cast: Cast) -> None:
    remove(cast)
    with refusal(Refused, "member_left"):
        update(cast, role="owner")


def test_members_settings__others_join_and_leave__unchanged(cast: Cast) -> None:
    states = list(PrivacySetting.objects.values())
    member = add(cast)
    update(cast, member, role="admin")
    remove(cast, member)
    assert list(PrivacySetting.objects.values()) == states
