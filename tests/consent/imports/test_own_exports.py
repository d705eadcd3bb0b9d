"""The portal imports its own exports again: byte for byte, with the past as the past, and nothing left out silently."""

import csv
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.access import Actor
from accounts.models import Member, Organization, Subscription, User
from consent import ledger, verification
from consent.errors import Invalid
from consent.models import ConsentEvent, PrivacySetting
from consent.services import choices, locks, members, organizations, plans
from consent.services.erasure import erase_person
from consent.services.external_ids import clean_external_id
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE, Surface
from tests.support import cast as casting
from tests.support.commands import choices_of, run
from tests.support.factories import ActorFactory, MemberFactory, OrganizationFactory, UserFactory
from tests.support.imports import Import, approve_and_run, counts, importer
from tests.support.installations import empty

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
TABLES = ("organizations", "members", "subscriptions", "choices")
PLAN = {"organizations": ("--plan", "le_chat_free")}
Rows = list[dict[str, Any]]


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Import]:
    return lambda table: importer(f"import_{table}", tmp_path)


def exported(table: str) -> Rows:
    return list(csv.DictReader(io.StringIO(run("export", table).out, newline="")))


def as_csv(rows: Rows) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def state() -> set[tuple[Any, ...]]:
    """Whatever an import could change; that something was exported is an event too."""
    tables = [
        *(model.objects.all() for model in (Organization, Member, Subscription, PrivacySetting)),
        ConsentEvent.objects.exclude(kind__startswith="access."),
    ]
    return {(rows.model.__name__, *row) for rows in tables for row in rows.values_list()}


# --- The guard against formulas ---------------------------------------------------------------------------------------

LIKE_FORMULAS = ("+4930123456", "-77", "@handle", "=1+1", "'Ndrangheta", "plain")


def test_import__own_export_with_a_choice_added__the_same_organizations_are_out(
    operator: Actor, load: Callable[[str], Import]
) -> None:
    OrganizationFactory.with_ids(*LIKE_FORMULAS, plan="le_chat_free", actor=operator)
    rows = [{**row, "choice": "opted_out"} for row in exported("organizations")]
    result = load("organizations")(as_csv(rows), *PLAN["organizations"])
    assert (result.code, counts(result)) == (0, {"opted_out": len(LIKE_FORMULAS)}), result.err
    assert choices_of("le_chat") == dict.fromkeys(LIKE_FORMULAS, "opted_out")
    assert Organization.objects.count() == len(LIKE_FORMULAS)


# --- Everything -------------------------------------------------------------------------------------------------------


def installation(operator: Actor, names: Sequence[str]) -> list[Organization]:
    """One organization a name, also its external id, its member's, and their names: a bit of everything that can be."""
    by: dict[str, Any] = {"actor": operator, "source": "admin"}
    free = plans.get_plan("le_chat_free")
    drafts = [
        OrganizationDraft(name=f"{name}.", external_id=name, country="FR", subscriptions=[free]) for name in names
    ]
    drafts.append(OrganizationDraft(name="Nobody's id", subscriptions=[free]))
    owner = ("solo@person.example", "Solo")
    drafts.append(
        OrganizationDraft(name="Solo", kind="personal", external_id="solo", owner=owner, subscriptions=[free])
    )
    made = organizations.create_organizations(drafts, **by)
    for n, organization in enumerate(made[:-1]):
        person = UserFactory(email=f"p{n}@hall.example", name=organization.name)
        member = members.add_member(
            organization=organization, email=person.email, role="auditor", external_id=organization.external_id, **by
        )
        tell(n, organization, member, by)
    erase_person(person=User.objects.get(email="p0@hall.example"), actor=operator)
    return made


def tell(n: int, organization: Organization, member: Member, by: dict[str, Any]) -> None:
    """Its story, another for each."""
    product, reason = "le_chat", "Asked for"
    surface = LE_CHAT_CONSOLE
    person = Actor.from_user(member.user, confirmed=True)
    match n % 8:
        case 0:  # left, and came back; a subscription of once, and the same again
            members.remove_member(member=member, **by)
            MemberFactory(organization=organization, user=member.user, actor=by["actor"])
            casting.subscribe(organization, "le_chat_teams", by["actor"])
            casting.subscribe(organization, "le_chat_free", by["actor"])  # out, carried over
        case 1:
            members.remove_member(member=member, **by)
            plans.end_subscription(organization=organization, product=product, **by)
        case 2:
            organizations.close_organization(organization=organization, reason=reason, **by)
        case 3:
            locks.place_lock(organization=organization, product=product, reason=reason, reference="C-1", **by)
        case 4:
            choices.choose(surface=surface, organization=organization, choice="opted_out", **by)
            organizations.close_organization(organization=organization, reason=reason, **by)
        case 5:
            choose_in(surface, organization, **by)
        case 6:
            wish: dict[str, Any] = {"surface": LE_CHAT_MOBILE, "organization": organization, "member": member}
            choices.choose(choice="opted_out", actor=person, source="data_controls", **wish)
            choose_in(actor=person, source="data_controls", **wish)
        case 7:
            organizations.update_organization(organization=organization, external_id=None, **by)
            members.update_member(member=member, external_id=None, **by)


def choose_in(surface: Surface, organization: Organization, **more: Any) -> None:
    choices.choose(
        surface=surface, organization=organization, choice="opted_in", reason="Agreed", version_required=False, **more
    )


def imported(load: Callable[[str], Import], table: str, form: str, *options: str) -> Any:
    text = run("export", table, "--format", form).out
    result = load(table)(text, *PLAN.get(table, ()), *options, name=f"{table}.{form}")
    assert (result.code, result.json["bad"]) == (0, 0), result.err
    return result.json


def assert_nothing_changes(load: Callable[[str], Import]) -> None:
    before = state()
    for table in TABLES:
        for form in ("csv", "jsonl"):
            told = imported(load, table, form)
            assert (told["refused"], told["duplicates"], told["written"]) == (0, 0, True)
            # Of organizations that others are on other plans than the one named.
            differing = [row for row in told["differing_rows"] if "It is here with plan for " not in row]
            assert differing == []
            assert state() == before


NASTY = (*LIKE_FORMULAS, "a;b", "a|b, c", 'say "x" to', "é", "''x", "1e5", "007", "ʻokina", "＝1")


def test_import__own_export__nothing_changes(operator: Actor, load: Callable[[str], Import]) -> None:
    installation(operator, [*NASTY, "a  b"])
    assert_nothing_changes(load)
    assert verification.verify().problems == []


ALPHABET = st.one_of(st.sampled_from("=+-@'\",;|\t ’«é\u0301aA0."), st.characters(codec="utf-8"))


def is_accepted(text: str) -> bool:
    try:
        return clean_external_id(text) == text and bool(organizations.clean_name(f"{text}."))
    except Invalid:
        return False


@settings(max_examples=8)
@given(st.lists(st.text(ALPHABET, min_size=1, max_size=12).filter(is_accepted), min_size=8, max_size=10, unique=True))
def test_import__own_export_of_any_contents__nothing_changes(names: list[str]) -> None:
    with transaction.atomic(), tempfile.TemporaryDirectory() as folder:
        installation(ActorFactory(of_commands=True), names)
        assert_nothing_changes(lambda table: importer(f"import_{table}", Path(folder)))
        transaction.set_rollback(True)


# --- Elsewhere --------------------------------------------------------------------------------------------------------

# What an installation gives by itself.
ITS_OWN = {"id", "organization", "member", "created_at", "changed_at", "joined_at", "started_at", "since", "version"}


def carried() -> dict[str, list[str]]:
    """What the exports say that can be the same in two installations; what has ended is not brought in."""
    found = {}
    for table in TABLES:
        rows = [row for row in exported(table) if not row.get("ended_at")]
        found[table] = sorted(repr([(name, row[name]) for name in row if name not in ITS_OWN]) for row in rows)
    return found


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_import__own_export_into_another_installation__byte_for_byte(
    operator: Actor, load: Callable[[str], Import], form: str
) -> None:
    solo = OrganizationDraft(
        name="Solo", kind="personal", external_id="solo", owner=("solo@person.example", "Solo"),
        subscriptions=[plans.get_plan("le_chat_free")],
    )  # fmt: skip
    organizations.create_organization(draft=solo, actor=operator, source="admin")
    for n, organization in enumerate(OrganizationFactory.with_ids(*NASTY, plan="le_chat_free", actor=operator)):
        by: dict[str, Any] = {"organization": organization, "actor": operator, "source": "admin"}
        external_id = organization.external_id
        members.add_member(email=f"p{n}@hall.example", name=f"{external_id}.", external_id=external_id, **by)
        members.add_member(email="all@hall.example", name="Of all", role="admin", **by)
        casting.subscribe(organization, ("ai_studio_scale", "le_chat_teams", "le_chat_pro")[n % 3], operator)
        if n % 2:
            choices.choose(surface=LE_CHAT_CONSOLE, choice="opted_out", **by)
    before = carried()
    files = {table: run("export", table, "--format", form).out for table in TABLES}
    empty()
    ActorFactory(of_commands=True)
    # A file of both kinds, one after the other: those of the other kind are bad rows until they are here.
    apart = load("organizations")(files["organizations"], *PLAN["organizations"], "--skip-bad", name=f"o.{form}")
    assert (apart.code, counts(apart)) == (0, {"created": len(NASTY), "bad": 1})
    for table, text in files.items():
        more = (*PLAN[table], "--kind", "personal") if table == "organizations" else ()
        result = load(table)(text, *more, name=f"{table}.{form}")
        assert (result.code, result.json["bad"]) == (0, 0), result.err
        if result.json.get("status") == "awaiting_approval":
            approve_and_run(result)
    assert carried() == before
    assert verification.verify().problems == []


@pytest.mark.parametrize(
    ("table", "line", "column"),
    [
        ("members", "{a},b,x@y.example", "organization_external_id"),
        ("subscriptions", "{a},b,le_chat_pro", "organization_external_id"),
        ("choices", "{a},a,{ann},bob,le_chat,opted_out", "member_external_id"),
    ],
)
def test_import__id_and_external_id_of_two__bad_by_name(
    operator: Actor, load: Callable[[str], Import], table: str, line: str, column: str
) -> None:
    a, _b = OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=operator)
    by: dict[str, Any] = {"organization": a, "actor": operator, "source": "admin"}
    ann, _bob = (members.add_member(email=f"{name}@a.example", external_id=name, **by) for name in ("ann", "bob"))
    header = {"members": "email", "subscriptions": "plan", "choices": "member,member_external_id,product,choice"}[table]
    before = state()
    result = load(table)(f"organization,organization_external_id,{header}\n{line.format(a=a.pk, ann=ann.pk)}")
    assert (result.code, counts(result), state()) == (1, {"bad": 1}, before)
    assert f"row 2, column {column}" in result.json["bad_rows"][0] and "those of two" in result.json["bad_rows"][0]


# --- The past ---------------------------------------------------------------------------------------------------------

FRESH = {
    "organizations": ("external_id,name,status,choice", ["gone,Gone,closed,", "new,New,active,", "b,B,,"]),
    "members": (
        "organization_external_id,email,status,left_at,organization_status",
        ["a,x@a.example,left,2025-01-01T00:00:00Z,", "a,y@a.example,,2025-01-01T00:00:00Z,",
         "gone,z@a.example,,,closed",
         "a,new@a.example,active,,active"],
    ),
    "subscriptions": (
        "organization_external_id,plan,product,ended_at,organization_status",
        ["a,le_chat_pro,le_chat,2025-01-01T00:00:00Z,", "a,ai_studio_scale,,2025-01-01T00:00:00Z,",
         "gone,le_chat_pro,,,closed", "gone,le_chat_pro,le_chat,2025-01-01T00:00:00Z,",
         "a,le_chat_pro,le_chat,,active"],
    ),
    "choices": (
        "organization_external_id,product,choice,closed,locked",
        ["gone,le_chat,default,true,", "gone,ai_studio,opted_in,yes,no", "a,le_chat,opted_out,false,false"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("table", TABLES)
def test_import__rows_of_the_past__neither_bad_nor_made(
    operator: Actor, load: Callable[[str], Import], table: str
) -> None:
    OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=operator)
    header, lines = FRESH[table]
    result = load(table)("\n".join([header, *lines]), *PLAN.get(table, ()))
    made = {"organizations": "created", "members": "joined", "subscriptions": "started", "choices": "chosen"}[table]
    # Of the organizations b is known, and called otherwise.
    more = {"differing": 1} if table == "organizations" else {}
    assert (result.code, counts(result)) == (0, {made: 1, "past": len(lines) - 1 - len(more), **more}), result.err
    assert not Organization.objects.filter(external_id="gone").exists()
    assert set(Member.objects.values_list("user__email", flat=True)) <= {"new@a.example"}
    assert not Subscription.objects.filter(plan="ai_studio_scale").exists()
    assert verification.verify().problems == []


@pytest.fixture
def past(operator: Actor) -> Organization:
    """a has ended a subscription, b was left by somebody, c is closed."""
    a, b, c = OrganizationFactory.with_ids("a", "b", "c", plan="le_chat_free", actor=operator)
    by: dict[str, Any] = {"actor": operator, "source": "admin"}
    plans.end_subscription(organization=a, product="le_chat", **by)
    members.remove_member(member=members.add_member(organization=b, email="bo@b.example", name="Bo", **by), **by)
    organizations.close_organization(organization=c, reason="Asked for", **by)
    return a


@pytest.mark.parametrize("mapped", [False, True])
def test_import__own_export_of_what_is_over__nothing_starts_again(
    past: Organization, load: Callable[[str], Import], mapped: bool
) -> None:
    before = state()
    fields = {
        "organizations": ("name", "external_id"),
        "members": ("organization", "email"),
        "subscriptions": ("organization", "plan"),
        "choices": ("organization", "product", "choice", "member"),
    }
    for table, names in fields.items():
        imported(load, table, "csv", *(f"--map={name}={name}" for name in names if mapped))
        assert state() == before


OTHERWISE = {
    "closed there, open here": (
        "organizations", "external_id,name,status", "a,a Ltd,closed", "status “active”, not “closed”",
    ),
    "open there, closed here": ("organizations", "external_id,name,status", "c,c Ltd,active", "status “closed”, not"),
    "closed there, unknown, opted out": (
        "organizations", "external_id,name,status,choice", "gone,Gone,closed,opted_out",
        "its opt-out is filed with nobody",
    ),
    "left there, a member here": (
        "members", "organization_external_id,email,status", "a,ann@a.example,left", "has left by what the file says",
    ),
    "ended there, goes on here": (
        "subscriptions", "organization_external_id,plan,ended_at", "a,le_chat_free,NOW",
        "has ended by what the file says",
    ),
    "locked there, out on both": (
        "choices", "organization_external_id,product,choice,locked", "a,le_chat,opted_out,true", "is not so here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERWISE)
def test_import__over_there_and_not_here__told_and_left_as_it_is(
    past: Organization, operator: Actor, load: Callable[[str], Import], case: str
) -> None:
    table, header, line, message = OTHERWISE[case]
    by: dict[str, Any] = {"actor": operator, "source": "admin"}
    casting.subscribe(past, "le_chat_free", operator)
    members.add_member(organization=past, email="ann@a.example", **by)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=past, choice="opted_out", **by)
    before = state()
    line = line.replace("NOW", ledger.clock().isoformat())
    result = load(table)(f"{header}\n{line}", *PLAN.get(table, ()))
    assert (result.code, state()) == (0, before), result.err
    [told] = result.json["differing_rows"]
    assert message in told


REFUSED = {
    "locked there, in use here": (
        "choices", "organization_external_id,product,choice,locked", "b,le_chat,default,true",
    ),
    "carried there, in use here": (
        "choices", "organization_external_id,product,choice,carried_over_from", "b,le_chat,default,le_chat_teams",
    ),
    "closed there, opts in here": (
        "choices", "organization_external_id,product,choice,closed", "b,le_chat,opted_in,true",
    ),
    "neither yes nor no": ("choices", "organization_external_id,product,choice,locked", "b,le_chat,default,perhaps"),
    "ends in the future": (
        "subscriptions", "organization_external_id,plan,ended_at", "b,le_chat_pro,2999-01-01T00:00:00Z",
    ),
    "ended without a zone": (
        "subscriptions", "organization_external_id,plan,ended_at", "b,le_chat_pro,2020-01-01T00:00:00",
    ),
    "another product's plan": ("subscriptions", "organization_external_id,plan,product", "b,le_chat_pro,ai_studio"),
    "status nobody knows": ("members", "organization_external_id,email,status", "b,x@b.example,gold"),
    "active, and left": (
        "members", "organization_external_id,email,status,left_at", "b,x@b.example,active,2025-01-01T00:00:00Z",
    ),
    "another kind": ("organizations", "external_id,name,kind", "x,X,personal"),
    "kind nobody knows": ("organizations", "external_id,name,kind", "x,X,club"),
    "id of nobody": ("organizations", "external_id,name,id", ",X,01a21720-88f6-77b8-b33e-c3fb22d548b1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_import__what_says_that_it_is_over_and_cant_be_understood__bad_by_name(
    past: Organization, load: Callable[[str], Import], case: str
) -> None:
    table, header, line = REFUSED[case]
    before = state()
    result = load(table)(f"{header}\n{line}", "--reason", "Agreed", *PLAN.get(table, ()))
    column = header.split(",")[-1]
    assert (result.code, counts(result), state()) == (1, {"bad": 1}, before), result.err
    assert f"row 2, column {column}" in result.json["bad_rows"][0]


def test_import__column_named_like_one_that_says_what_is_over__ignored_on_purpose(
    operator: Actor, load: Callable[[str], Import]
) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    text = "Account,Mail,Status\na,ann@a.example,gold"
    mapped = ("--map", "organization_external_id=Account", "--map", "email=Mail")
    refused = load("members")(text, *mapped)
    assert (refused.code, counts(refused)) == (1, {"bad": 1})
    assert "Write active or left" in refused.json["bad_rows"][0] and "--ignore" in refused.err
    result = load("members")(text, *mapped, "--ignore", "Status")
    assert (result.code, counts(result)) == (0, {"joined": 1})
    assert load("members")(text, *mapped, "--ignore", "No").code == 2


def test_import__columns_that_no_field_is_read_from__named(operator: Actor, load: Callable[[str], Import]) -> None:
    result = load("organizations")("external_id,name,Choise,Note\na,A,opted_out,\n", *PLAN["organizations"])
    assert result.code == 0 and "Not read: “Choise”, “Note”. " in result.err
    ignored = load("organizations")("external_id,name,Note\nb,B,\n", *PLAN["organizations"], "--ignore", "Note")
    assert ignored.code == 0 and "Not read" not in ignored.err
