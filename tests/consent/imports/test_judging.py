"""A row is judged in one way: all its errors, with the same texts when its file is read and when it is applied."""

import datetime as dt
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization
from consent.imports import reading
from consent.imports.fields import ImportPlan
from consent.imports.judging import KnownOrganization, Met, NewOnes, judge_row
from consent.imports.parsing import Row
from consent.jobs import actions, engine
from consent.models import BulkJob
from consent.rules import State
from consent.services import members, organizations
from tests.support.commands import database
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import importer

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


def faults(result: Any) -> list[tuple[str, str]]:
    """(row and column, what to do) of each."""
    return [(told.partition(":")[0], told) for told in result.json["bad_rows"]]


CASES: dict[str, tuple[str, dict[str, Any], tuple[str, ...], set[str]]] = {
    "organizations": (
        "import_organizations",
        {"name": "\u200b", "external_id": "a\u200bb", "country": "France", "choice": "perhaps", "since": "yesterday"},
        ("--plan", "le_chat_free", "--reference", "R-1", *("--map", "since=since", "--map", "name=name"),
         *("--map", "external_id=external_id", "--map", "country=country", "--map", "choice=choice")),
        {"name", "external_id", "country", "choice", "since"},
    ),
    "members": (
        "import_members",
        {"organization": "external:nobody", "email": "x", "role": "king", "name": "\u3164", "external_id": "a/b"},
        (),
        {"organization", "email", "role", "name", "external_id"},
    ),
    "subscriptions": (
        "import_subscriptions",
        {"organization": "nothing", "plan": "le_chat_gold", "ended_at": "2999-01-01T00:00:00Z"},
        (),
        {"organization", "plan", "ended_at"},
    ),
    "choices": (
        "import_choices",
        {"organization": "external:a\u200b", "product": "le_chess", "choice": [1], "member": "x", "closed": "maybe"},
        (),
        {"organization", "product", "choice", "member", "closed"},
    ),
    "choices of nobody": (
        "import_choices",
        {"organization": "external:a", "member": "external:nobody", "product": "le_chat", "choice": "maybe"},
        (),
        {"member", "choice"},
    ),
    "members of a closed account": (
        "import_members",
        {"organization": "external:closed", "email": "new@x.example", "role": "king"},
        (),
        {"organization", "role"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_row__several_faults__each_named_by_its_column_and_counted_once(
    operator: Actor, tmp_path: Path, case: str
) -> None:
    command, row, options, columns = CASES[case]
    for made in OrganizationFactory.with_ids("a", "closed", plan="le_chat_free", actor=operator)[1:]:
        organizations.close_organization(organization=made, reason="Gone", actor=operator, source="admin")
    before = database()
    result = importer(command, tmp_path)(json.dumps(row) + "\n", *options, name="file.jsonl")
    assert (result.code, result.json["bad"]) == (1, 1), result.err
    assert {where.removeprefix("row 1, column ") for where, _told in faults(result)} == columns, result.json
    assert database() == before


# --- Read, previewed, applied: the same words ------------------------------------------------------------------------


def read(operator: Actor, tmp_path: Path, table: str, *rows: dict[str, str]) -> BulkJob:
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = ImportPlan(table, {name: name for name in rows[0]})
    job = reading.prepare(plan=plan, actor=operator, source="command", name="file")
    assert reading.take(job)
    return reading.read(job, str(path))


def told(job: BulkJob) -> Counter[tuple[int, str, str]]:
    return Counter(job.problems.values_list("line", "column", "remedy"))


def closed(operator: Actor, organization: Organization) -> None:
    organizations.close_organization(organization=organization, reason="Gone", actor=operator, source="admin")


def joined(operator: Actor, organization: Organization, **more: str) -> None:
    members.add_member(organization=organization, actor=operator, source="admin", **more)


LATE: dict[str, tuple[str, dict[str, str], Any]] = {
    "member of what is closed since": ("members", {"organization": "external:a", "email": "p@x.example"}, closed),
    "member's id taken since": (
        "members",
        {"organization": "external:a", "email": "p@x.example", "external_id": "m-1"},
        lambda by, to: joined(by, to, email="q@x.example", external_id="m-1"),
    ),
    "member who has joined since, otherwise": (
        "members",
        {"organization": "external:a", "email": "p@x.example", "role": "owner"},
        lambda by, to: joined(by, to, email="p@x.example", role="auditor"),
    ),
    "subscription of what is closed since": (
        "subscriptions", {"organization": "external:a", "plan": "ai_studio_scale"}, closed
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LATE)
def test_row__meets_it_when_applied__told_in_the_words_of_reading(operator: Actor, tmp_path: Path, case: str) -> None:
    table, row, happens = LATE[case]
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    job = read(operator, tmp_path, table, row)
    assert job.preview["change"] == 1 and not told(job)
    happens(operator, organization)
    job = actions.submit(job=job, actor=operator, digest=job.digest)
    claimed = engine.claim_next()
    assert claimed is not None
    engine.run(claimed)
    job.refresh_from_db()
    assert (job.status, job.changed, job.refused) == ("done", 0, 1)
    late = told(job)
    assert late and late == told(read(operator, tmp_path, table, row))
    assert not Member.objects.filter(user__email="p@x.example").exclude(role="auditor").exists()


def test_judge_row__knows_no_database() -> None:
    names = set(judge_row.__globals__)
    assert not names & {"connection", "transaction", "Organization", "Member", "PrivacySetting", "Binding", "ledger"}


@pytest.mark.parametrize(
    ("table", "header", "line"),
    [
        ("members", "email", "x@a.example"),
        ("subscriptions", "plan", "le_chat_pro"),
        ("choices", "product,choice", "le_chat,opted_out"),
    ],
)
def test_import__ids_spelled_as_they_are_asked_for__meant_and_named_so(
    operator: Actor, tmp_path: Path, table: str, header: str, line: str
) -> None:
    OrganizationFactory.with_ids("a", actor=operator)
    load = importer(f"import_{table}", tmp_path)
    assert load(f"organization_external_id,{header}\nexternal:a,{line}\n").code == 0
    result = load(f"organization_external_id,{header}\nexternal:kv-100,{line}\nkv-200,{line}\n")
    told = "\n".join(result.json["bad_rows"])
    assert "“external:kv-100”" in told and "“external:kv-200”" in told and "external:external:" not in told


# --- Organizations that are here already ------------------------------------------------------------------------------

HERE = KnownOrganization("A Ltd", "team", "FR", "active", {"le_chat": State(plan="le_chat_free", subscribed=True)})
OUT = HERE._replace(states={"le_chat": State(plan="le_chat_free", subscribed=True, choice="opted_out")})
NEW_ONES = NewOnes("team", {"le_chat": "le_chat_free"})
ROW = Row(1, external_id="a", name="A Ltd")
# The row, whom it is of, its outcome, and what is said of it: (field, a part of the words).
ORGANIZATIONS: dict[str, tuple[Row, KnownOrganization | None, str, tuple[str, str] | None]] = {
    "new": (ROW, None, "", None),
    "new, and closed": (ROW._replace(status="closed"), None, "past", None),
    "new, closed and out": (
        ROW._replace(status="closed", choice="opted_out"), None, "past", ("status", "filed with nobody")
    ),
    "new, of another kind": (ROW._replace(kind="personal"), None, "bad", ("kind", "Import the others apart")),
    "here, the same": (ROW._replace(country="FR", status="active", kind="team"), HERE, "same", None),
    "here, without a country in the file": (ROW, HERE, "same", None),
    "here, called otherwise": (ROW._replace(name="B Ltd"), HERE, "differing", ("external_id", "name “A Ltd”")),
    "here, closed by the file": (ROW._replace(status="closed"), HERE, "differing", ("external_id", "status “active”")),
    "here, out by the file": (ROW._replace(choice="opted_out"), HERE, "opt_out", None),
    "here, out by the file, otherwise called": (
        ROW._replace(choice="opted_out", name="B"), HERE, "opt_out", ("external_id", "name “A Ltd”, not “B”")
    ),
    "here, and out already": (ROW._replace(choice="opted_out"), OUT, "same", None),
    "here, in by the file": (ROW._replace(choice="opted_in"), OUT, "differing", ("external_id", "no opt-in for le")),
    "here, without the plan": (
        ROW, HERE._replace(states={"le_chat": State()}), "differing", ("external_id", "“”, not “le_chat_free”")
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ORGANIZATIONS)
def test_judge_row__organization_once_it_is_known_whose_the_id_is__outcome_and_what_is_said(case: str) -> None:
    row, known, outcome, said = ORGANIZATIONS[case]
    met = Met(now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), known=known, new_ones=NEW_ONES)
    verdict = judge_row("organizations", row, met)
    told = [*verdict.faults, *([verdict.told] if verdict.told else [])]
    assert (verdict.outcome, verdict.loosens) == (outcome, False)
    assert [each.field for each in told] == ([said[0]] if said else [])
    assert said is None or said[1] in told[0].remedy
