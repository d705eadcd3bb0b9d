"""Privacy settings and locks through the API: a write that loosens needs If-Match, one that tightens never does."""

import pytest
from django.http import HttpResponse

from consent.models import ConsentEvent, EventKind
from consent.services import members
from tests.support.callers import Caller, World, assert_problem, by_key, by_session, last_event, state
from tests.support.factories import MemberFactory, UserFactory

pytestmark = pytest.mark.django_db
OUT, IN = {"choice": "opted_out"}, {"choice": "opted_in"}


@pytest.fixture
def chat(world: World) -> str:
    return f"{world.labs}privacy-settings/le_chat_console/"


@pytest.fixture
def mobile(world: World) -> str:
    return f"{world.dag}privacy-settings/le_chat_mobile/"


def tag(caller: Caller, path: str) -> str:
    return str(caller.get(path)["ETag"])


def number(answer: HttpResponse) -> int:
    """The version of the setting that a tag begins with."""
    return int(answer["ETag"].strip('"').partition("-")[0])


# --- An organization's ----------------------------------------------------------------------------------------------


def test_get__nobody_has_chosen__shows_the_default_of_the_plan(chat: str, world: World) -> None:
    answer = world.auditor.get(chat)
    assert (answer.status_code, number(answer), answer["Cache-Control"]) == (200, 1, "no-store")
    assert answer.json() == {
        "surface": "le_chat_console",
        "product": "le_chat",
        "label": "Allow your interactions to be used to train our models",
        "choice": "default",
        "effective": "opted_in",
        "reason": "plan_default",
        "since": answer.json()["since"],
        "locked": False,
        "lock_reason": None,
        "carried_from": None,
        "members_opted_out": None,
        "changed_at": None,
        "changed_by": None,
        "event": None,
    }


def test_put__opt_out__200_with_who_and_when(chat: str, world: World) -> None:
    answer = world.admin.put(chat, OUT)
    shown, event = answer.json(), last_event()
    assert (answer.status_code, number(answer)) == (200, 2)
    assert (shown["choice"], shown["effective"], shown["reason"]) == (
        "opted_out",
        "opted_out",
        "organization_opted_out",
    )
    assert (shown["changed_by"], shown["event"]) == ("Bo Nyström", str(event.pk))
    assert (event.kind, event.source, event.surface) == (EventKind.CHOICE_OPTED_OUT, "api", "le_chat_console")
    assert event.request_id == answer["X-Request-ID"]
    assert world.auditor.get(chat).json() == shown


def test_put__same_choice_again__writes_nothing_and_answers_as_before(chat: str, world: World) -> None:
    first = world.admin.put(chat, OUT)
    before = state()
    again = world.owner.put(chat, OUT)
    assert (again.status_code, again.json(), again["ETag"]) == (200, first.json(), first["ETag"])
    assert state() == before


def test_put__admin_confirms_what_an_operator_chose__makes_it_theirs(chat: str, world: World) -> None:
    world.operator.put(chat, OUT)
    assert world.admin.put(chat, OUT).json()["changed_by"] == "Bo Nyström"
    assert last_event().kind == EventKind.CHOICE_CONFIRMED


def test_put__loosens_without_if_match__428(chat: str, world: World) -> None:
    world.admin.put(chat, OUT)
    before = state()
    assert_problem(world.admin.put(chat, IN), 428, "version_required")
    for names_none in ("*", "", " "):
        assert_problem(world.admin.put(chat, IN, if_match=names_none), 428, "version_required")
    assert state() == before


@pytest.mark.parametrize(
    "stale",
    ['"1"', '"999"', 'W/"2"', "2", '"1", W/"2"', '"²"', "nonsense", '"2-short"', '"', '"2', ",", '"2" "2"', "W/"],
)
def test_put__loosens_with_another_tag__412(stale: str, chat: str, world: World) -> None:
    world.admin.put(chat, OUT)
    before = state()
    assert_problem(world.admin.put(chat, IN, if_match=stale), 412, "version_mismatch")
    assert state() == before


@pytest.mark.parametrize("among", ['"2"', '"7", "2"', '"2" , W/"9", junk', '"2-' + "0" * 32 + '"'])
def test_put__loosens_with_the_current_version_among_others__200(among: str, chat: str, world: World) -> None:
    world.admin.put(chat, OUT)
    assert world.admin.put(chat, IN, if_match=among).json()["effective"] == "opted_in"


def test_put__loosens_with_the_current_tag__200(chat: str, world: World) -> None:
    world.admin.put(chat, OUT)
    answer = world.admin.put(chat, IN, if_match=tag(world.admin, chat))
    assert (answer.status_code, answer.json()["effective"], number(answer)) == (200, "opted_in", 3)


@pytest.mark.parametrize("header", ['"999"', "nonsense", "*", "", '"', "W/", '"1', "1", ",", '"é"', "\x7f", '"1" "2"'])
def test_put__tightens__never_looks_at_if_match(header: str, chat: str, world: World) -> None:
    assert world.admin.put(chat, OUT, if_match=header).json()["effective"] == "opted_out"


def test_put__opts_in_where_it_is_used_already__needs_no_if_match(chat: str, world: World) -> None:
    assert world.admin.put(chat, IN).json()["reason"] == "organization_opted_in"


def test_put__opts_in_on_an_opted_out_by_default_plan__needs_a_reason(world: World) -> None:
    path = f"{world.labs}privacy-settings/ai_studio_console/"
    before = state()
    for body in (IN, {**IN, "reason": "  "}):
        assert_problem(world.admin.put(path, body, if_match=tag(world.admin, path)), 400, "required", "#/reason")
    assert state() == before
    answer = world.admin.put(path, {**IN, "reason": "We want to help"}, if_match=tag(world.admin, path))
    assert answer.json()["effective"] == "opted_in"
    assert last_event().reason == "We want to help"


@pytest.mark.parametrize(
    ("body", "code", "pointers"),
    [
        ({}, "invalid", ["#/choice"]),
        ({"choice": "default"}, "invalid", ["#/choice"]),
        ({"choice": True}, "invalid", ["#/choice"]),
        ({"choice": None}, "invalid", ["#/choice"]),
        ({**OUT, "reason": 1}, "invalid", ["#/reason"]),
        ({**OUT, "reason": "a\x00"}, "invalid", ["#/reason"]),
        ({**OUT, "reason": "x" * 501}, "too_long", ["#/reason"]),
        ({**OUT, "source": "ios"}, "invalid", ["#/source"]),
        ({**OUT, "source": "api"}, "invalid", ["#/source"]),
        ({**OUT, "expected_version": 1}, "invalid", ["#/expected_version"]),
        ([OUT], "invalid", ["#"]),
        ("opted_out", "invalid", ["#"]),
    ],
)
def test_put__bad_body__400_and_nothing_changes(body, code: str, pointers: list[str], chat: str, world: World) -> None:
    before = state()
    for role in ("admin", "operator_key"):
        assert_problem(world.callers[role].put(chat, body), 400, code, *pointers)
    assert state() == before


@pytest.mark.parametrize("surface", ["le_chat_mobile", "nowhere", "le_chat"])
def test_put__surface_that_an_organization_has_not__404(surface: str, world: World) -> None:
    before = state()
    assert_problem(world.admin.put(f"{world.labs}privacy-settings/{surface}/", OUT), 404, "not_found")
    assert_problem(world.admin.get(f"{world.labs}privacy-settings/{surface}/"), 404, "not_found")
    assert state() == before


def test_put__closed_account__out_200_in_409(chat: str, world: World) -> None:
    world.operator_key.patch(world.labs, {"status": "closed", "reason": "Bye"})
    assert world.admin.put(chat, OUT).json()["reason"] == "organization_closed"
    before = state()
    assert_problem(world.admin.put(chat, IN, if_match=tag(world.admin, chat)), 409, "organization_closed")
    assert state() == before


def test_put__no_subscription__out_200_in_409(chat: str, world: World) -> None:
    world.operator_key.delete(f"{world.labs}subscriptions/le_chat/")
    assert world.key.put(chat, OUT).json()["reason"] == "no_subscription"
    before = state()
    assert_problem(world.key.put(chat, IN, if_match=tag(world.key, chat)), 409, "no_subscription")
    assert state() == before


def test_get__after_a_move_to_a_plan_that_defaults_in__says_what_is_carried_over(chat: str, world: World) -> None:
    for plan in ("le_chat_teams", "le_chat_free"):
        world.operator_key.put(f"{world.labs}subscriptions/le_chat/", {"plan": plan})
    shown = world.admin.get(chat).json()
    assert (shown["effective"], shown["reason"], shown["carried_from"]) == (
        "opted_out",
        "carried_over",
        "le_chat_teams",
    )


def test_get__members_opted_out__counted_for_the_provider_alone(chat: str, world: World) -> None:
    """With five accounts of one's own, any count that begins at five is read to the last member."""
    counts = []
    for n in range(6):
        person = UserFactory(email=f"m{n}@kvasir.example", name=f"M {n}")
        member = MemberFactory(organization=world.cast.labs, user=person, actor=world.cast.provider)
        by_session(person).put(f"{world.labs}members/{member.pk}/privacy-settings/le_chat_mobile/", OUT)
        callers = (world.owner, world.admin, world.auditor, world.key)
        assert {caller.get(chat).json()["members_opted_out"] for caller in callers} == {None}
        listed = world.owner.get(f"{world.labs}privacy-settings/").json()["results"]
        assert {each["members_opted_out"] for each in listed} == {None}
        counts.append([each.get(chat).json()["members_opted_out"] for each in (world.operator, world.operator_key)])
    assert counts == [[n, n] for n in range(1, 7)]
    assert world.admin.put(chat, OUT).json()["members_opted_out"] is None


def test_list__one_per_organization_surface(chat: str, world: World) -> None:
    listed = world.key.get(f"{world.labs}privacy-settings/").json()
    assert [each["surface"] for each in listed["results"]] == ["le_chat_console", "ai_studio_console"]
    assert listed["results"][0] == world.key.get(chat).json() and listed["next"] is None


# --- A member's -----------------------------------------------------------------------------------------------------


def test_member__opts_out_and_in_again_by_their_own_session(mobile: str, world: World) -> None:
    assert number(world.member.get(mobile)) == 0
    assert world.member.put(mobile, OUT).json()["reason"] == "member_opted_out"
    before = state()
    assert_problem(world.member.put(mobile, IN), 428, "version_required")
    assert state() == before
    assert world.member.put(mobile, IN, if_match='"1"').json()["effective"] == "opted_in"
    assert last_event().source == "api"


@pytest.mark.parametrize("source", ["ios", "android"])
def test_member__by_the_apps_backend__source_is_kept(source: str, mobile: str, world: World) -> None:
    backend = by_key("consent:member")
    backend.put(mobile, {**OUT, "source": source})
    answer = backend.put(mobile, {**IN, "source": source}, if_match=tag(backend, mobile))
    assert (answer.status_code, answer.json()["choice"], last_event().source) == (200, "opted_in", source)
    assert last_event().by_operator is False


@pytest.mark.parametrize(
    ("extra", "code"), [({}, "wrong_source"), ({"source": "api"}, "invalid"), ({"source": "web"}, "invalid")]
)
def test_member__by_a_key_without_an_apps_source__400(extra, code: str, mobile: str, world: World) -> None:
    before = state()
    assert_problem(world.operator_key.put(mobile, {**OUT, **extra}), 400, code, "#/source")
    assert state() == before


def test_member__source_in_a_session__400(mobile: str, world: World) -> None:
    before = state()
    assert_problem(world.member.put(mobile, {**OUT, "source": "ios"}), 400, "invalid", "#/source")
    assert state() == before


def test_member__opted_in_by_anybody_else__403(mobile: str, world: World) -> None:
    world.member.put(mobile, OUT)
    writer = by_key("consent:write", "consent:read")
    before = state()
    for caller in (world.operator, world.owner, writer, world.key):
        answer = caller.put(mobile, {**IN, "source": "ios"} if caller.headers else IN, if_match='"1"')
        assert_problem(answer, 403, "forbidden")
    assert state() == before


def test_member__opted_out_by_an_operator__is_theirs_once_they_confirm(mobile: str, world: World) -> None:
    assert world.operator.put(mobile, OUT).json()["effective"] == "opted_out"
    assert last_event().by_operator is True
    assert world.member.put(mobile, OUT).json()["changed_by"] == "Dag Sund"


def test_member__who_left__sees_their_setting_and_can_only_opt_out(mobile: str, world: World) -> None:
    members.remove_member(member=world.cast.labs_member, actor=world.cast.provider, source="admin")
    assert world.member.get(mobile).json()["reason"] == "member_left"
    assert world.member.put(mobile, OUT).json()["choice"] == "opted_out"
    before = state()
    assert_problem(world.member.put(mobile, IN, if_match='"1"'), 409, "member_left")
    assert state() == before


def test_member__organization_opted_out__opting_in_never_brings_it_back(mobile: str, world: World) -> None:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", OUT)
    shown = world.member.put(mobile, IN).json()
    assert (shown["choice"], shown["effective"], shown["reason"]) == ("opted_in", "opted_out", "organization_opted_out")


@pytest.mark.parametrize("surface", ["le_chat_console", "ai_studio_console", "x"])
def test_member__surface_of_the_organization__404(surface: str, world: World) -> None:
    before = state()
    assert_problem(world.member.put(f"{world.dag}privacy-settings/{surface}/", OUT), 404, "not_found")
    assert state() == before


def test_member__list__has_the_mobile_surface(mobile: str, world: World) -> None:
    listed = world.member.get(f"{world.dag}privacy-settings/").json()
    assert listed == {"results": [world.member.get(mobile).json()], "next": None}


def test_member__of_someone_else__403_whether_they_exist_or_not(world: World) -> None:
    colleague = world.cast.labs.members.get(user=world.cast.owner)
    for ident in (colleague.pk, "external:nobody"):
        assert_problem(world.member.get(f"{world.labs}members/{ident}/privacy-settings/"), 403, "forbidden")


# --- Locks ----------------------------------------------------------------------------------------------------------


def test_lock__placed__opting_in_409_opting_out_200_until_lifted(chat: str, world: World) -> None:
    path, lock = f"{world.labs}locks/le_chat/", {"reason": "Contract 7", "reference": "CRM-7"}
    placed = world.operator_key.put(path, lock)
    assert (placed.status_code, number(placed)) == (200, 2)
    assert (placed.json()["locked"], placed.json()["lock_reason"]) == (True, "Contract 7")
    before = state()
    assert_problem(world.admin.put(chat, IN, if_match='"2"'), 409, "locked")
    assert world.operator_key.put(path, lock).json() == placed.json()
    assert_problem(world.operator_key.put(path, {**lock, "reason": "Law"}), 409, "locked")
    assert state() == before
    assert world.admin.put(chat, OUT).json()["choice"] == "opted_out"
    assert world.operator_key.delete(path, {"reason": "Ended"}).status_code == 204
    assert world.admin.get(chat).json()["locked"] is False
    before = state()
    assert world.operator_key.delete(path, {"reason": "Ended"}).status_code == 204
    assert state() == before


@pytest.mark.parametrize(
    ("method", "body", "pointers"),
    [
        ("PUT", {}, ["#/reason", "#/reference"]),
        ("PUT", {"reason": " ", "reference": "x"}, ["#/reason"]),
        ("PUT", {"reason": "x", "reference": 7}, ["#/reference"]),
        ("PUT", {"reason": "x", "reference": "y", "until": "2027"}, ["#/until"]),
        ("DELETE", None, ["#/reason"]),
        ("DELETE", {"reason": "x", "reference": "y"}, ["#/reference"]),
    ],
)
def test_lock__bad_body__400_and_nothing_changes(method: str, body, pointers: list[str], world: World) -> None:
    before = state()
    assert_problem(world.operator_key(method, f"{world.labs}locks/le_chat/", body), 400, "invalid", *pointers)
    assert state() == before


def test_lock__unknown_product__404(world: World) -> None:
    before = ConsentEvent.objects.count()
    lock = {"reason": "Contract 7", "reference": "CRM-7"}
    assert_problem(world.operator_key.put(f"{world.labs}locks/le_dog/", lock), 404, "not_found")
    assert ConsentEvent.objects.count() == before
