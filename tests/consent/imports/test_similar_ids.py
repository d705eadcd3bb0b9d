"""Similar ids in imports: a file creates no organization with an id similar to a known one unless that is allowed."""

import json
import uuid
from pathlib import Path

import pytest
from django.db import connection

from accounts.access import Actor
from accounts.external_ids import folded, normalize
from accounts.models import Binding, Organization
from consent.imports import reading, similar
from consent.imports.fields import ImportPlan
from consent.jobs import actions, engine
from tests.support.commands import choices_of, database
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import Import, counts, importer

pytestmark = pytest.mark.django_db
SIMILAR = [
    ("kv-100", "KV-100"), ("kv-100", "\uff2b\uff36-100"), ("KV-100", "kv-100"), ("0007", "7"), ("7", "007"),
    ("o'brien", "O\u2019Brien"), ("kv-100", '"kv-100'), ("kv-100", "\u2018kv-100"), ("stra\u00dfe", "STRASSE"),
    ("0", "000"), ("o'brien", "O\u00b4Brien"), ("kv-100", "kv\u2011100"), ("kv\u2013100", "KV-100"),
]  # fmt: skip
APART = [("kv-100", "kv-1000"), ("kv-100", "kv 100"), ("caf\u00e9", "cafe"), ("a1", "a01"), ("7", "70"), ("-7", "+7")]
SAME = ["caf\u00e9-1", "cafe\u0301-1", ' "caf\u00e9-1"', "\u201ccafe\u0301-1\u201d", "\u00a0caf\u00e9-1\u3000"]
OUT = ("--plan", "le_chat_free")


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def load(tmp_path: Path, operator: Actor) -> Import:
    return importer("import_organizations", tmp_path)


def lines(*ids: str) -> str:
    return "".join(json.dumps({"external_id": each, "name": "Kvasir", "choice": "opted_out"}) + "\n" for each in ids)


@pytest.mark.parametrize(("known", "spelled"), SIMILAR, ids=ascii)
def test_import__id_like_a_known_one__bad_row_naming_both_and_nobody_is_made(
    load: Import, operator: Actor, known: str, spelled: str
) -> None:
    OrganizationFactory.with_ids(known, plan="le_chat_free", actor=operator)
    before = database()
    result = load(lines(spelled, "other-1"), *OUT)
    assert (result.code, result.json["bad"], result.json["created"]) == (1, 1, 1) and database() == before
    [told] = result.json["bad_rows"]
    assert told.startswith("row 1, column external_id:") and f"“{spelled}”" in told and f"“{known}”" in told
    allowed = load(lines(spelled), *OUT, "--allow-similar")
    assert counts(allowed) == {"created": 1}
    assert choices_of("le_chat") == {known: "default", spelled: "opted_out"}


@pytest.mark.parametrize("spelled", ["external:kv-100", '"External: kv-100"', ".."])
def test_import__id_that_means_another_in_an_address__bad_row_and_nobody_is_made(
    load: Import, operator: Actor, spelled: str
) -> None:
    OrganizationFactory.with_ids("kv-100", plan="le_chat_free", actor=operator)
    before = database()
    result = load(lines(spelled), *OUT, "--allow-similar")
    assert (result.code, result.json["bad"], result.json["created"]) == (1, 1, 0) and database() == before
    assert "“external:”" in result.json["bad_rows"][0]


@pytest.mark.parametrize(("known", "spelled"), APART, ids=ascii)
def test_import__id_unlike_any__created(load: Import, operator: Actor, known: str, spelled: str) -> None:
    OrganizationFactory.with_ids(known, plan="le_chat_free", actor=operator)
    assert counts(load(lines(spelled), *OUT)) == {"created": 1}


@pytest.mark.parametrize("spelled", SAME, ids=ascii)
def test_import__the_same_id_spelled_otherwise__the_organization_that_is_here(
    load: Import, operator: Actor, spelled: str
) -> None:
    OrganizationFactory.with_ids("caf\u00e9-1", plan="le_chat_free", actor=operator)
    for text in (lines(spelled), f"external_id;name;choice\n{spelled};Kvasir;opted_out\n"):
        result = load(text, *OUT)
        assert (result.code, result.json["created"], result.json["bad"]) == (0, 0, 0)
    assert choices_of("le_chat") == {"caf\u00e9-1": "opted_out"} and Organization.objects.count() == 1


@pytest.mark.parametrize(
    "unseen",
    ["\u200b", "\U000e0041", "\ufe0f", "\u3164", "\x85", "\u0378", "\ue000", "\ud83d", "\x00", "\u202e", "\xad"],
    ids=ascii,
)
def test_import__unseen_character_in_an_id__bad_row_naming_it(load: Import, operator: Actor, unseen: str) -> None:
    OrganizationFactory.with_ids("kv-100", plan="le_chat_free", actor=operator)
    before = database()
    result = load(lines(f"kv-100{unseen}x", "kv-100"), *OUT, "--dry-run")
    [told] = result.json["bad_rows"]
    assert told.startswith("row 1, column external_id") and f"U+{ord(unseen):04X}" in told
    assert database() == before


def test_import__similar_rows_of_one_file__the_later_is_bad(load: Import) -> None:
    result = load(lines("kv-1", "kv-2", "KV-1", "Kv-2", "kv-3"), *OUT, "--skip-bad")
    assert (result.json["created"], result.json["bad"]) == (3, 2)
    assert set(Organization.objects.values_list("external_id", flat=True)) == {"kv-1", "kv-2", "kv-3"}
    assert ["row 3" in result.json["bad_rows"][0], "row 4" in result.json["bad_rows"][1]] == [True, True]
    again = load(lines("kv-1", "kv-2", "KV-1"), *OUT, "--skip-bad")
    assert (again.json["unchanged"], again.json["bad"], again.json["created"]) == (2, 1, 0)


def test_import__similar_one_added_since_the_file_was_read__refused_in_the_same_words(
    operator: Actor, tmp_path: Path
) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(lines("KV-1", "kv-2"))
    plan = ImportPlan("organizations", {name: name for name in ("external_id", "name", "choice")}, ("le_chat_free",))
    job = reading.prepare(plan=plan, actor=operator, source="command", name="file")
    assert reading.take(job)
    job = reading.read(job, str(path))
    assert job.preview == {"change": 2}
    OrganizationFactory.with_ids("kv-1", plan="le_chat_free", actor=operator)
    job = actions.submit(job=job, actor=operator, digest=job.digest)
    claimed = engine.claim_next()
    assert claimed is not None
    engine.run(claimed)
    job.refresh_from_db()
    assert (job.status, job.changed, job.refusals) == ("done", 1, {"similar": 1})
    problem = job.problems.get()
    assert (problem.kind, problem.line) == ("refused", 1) and "“KV-1” differs from “kv-1”" in problem.remedy
    assert set(Organization.objects.values_list("external_id", flat=True)) == {"kv-1", "kv-2"}


def test_import__withdrawn_id_is_known_and_an_erased_one_leaves_nothing(load: Import, operator: Actor) -> None:
    OrganizationFactory.with_ids("KV-1", plan="le_chat_free", actor=operator)
    assert Binding.objects.get().folded == "kv-1"
    Binding.objects.update(withdrawn_at=Binding.objects.get().recorded_at)
    assert load(lines("kv-1"), *OUT, "--dry-run").json["bad"] == 1


def test_folded__any_similar_ids__the_same() -> None:
    for known, spelled in SIMILAR:
        one, other = normalize(known), normalize(spelled)
        assert (folded(one) or one) == (folded(other) or other) and one != other
        assert folded(folded(one) or one) == ""
    assert connection.vendor in ("sqlite", "postgresql")


def test_similar__looked_for_row_by_row__by_indexes_and_not_among_all_ids_there_are(operator: Actor) -> None:
    OrganizationFactory.with_ids(*(f"ACCT-{n}" for n in range(500)), actor=operator)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE accounts_binding")  # which index it takes depends on what it knows of the table
            cursor.execute("SET LOCAL enable_seqscan = off")  # as if the table were large
        explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{explain} {similar._KNOWN}", [uuid.uuid4().hex, 0, 1_000])
        plan = "\n".join(str(line) for line in cursor.fetchall())
    assert "binding_meanings" in plan and "binding_folded" in plan, plan
    assert "Seq Scan on accounts_binding" not in plan and "SCAN b" not in plan, plan
