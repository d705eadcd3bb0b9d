"""An import of choices creates no rows, so it can be undone like any other job: every product, every interface."""

from pathlib import Path
from typing import Any

import pytest

from accounts.models import Organization, User
from consent import verification
from consent.jobs import engine, rows
from consent.models import BulkJob, ConsentEvent, JobKind, PrivacySetting
from consent.services import choices, members
from consent.surfaces import AI_STUDIO_CONSOLE
from tests.support import cast as casting
from tests.support.commands import ACTOR, Run, choices_of, run
from tests.support.factories import ActorFactory, OrganizationFactory, UserFactory
from tests.support.imports import SECOND, approve_and_run, importer

pytestmark = pytest.mark.django_db
NAMES = ("a", "b", "c", "d")
HEADER = "organization_external_id,member,product,choice\n"


def standing() -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What organizations and members have said, and what follows from it."""
    found = PrivacySetting.objects.values_list(
        "organization__external_id", "member", "product", "choice", "carry", "allowed"
    )
    return {row[:3]: row[3:] for row in found}


@pytest.fixture
def made() -> list[Organization]:
    """On Le Chat Free and API Experiment, as everybody's data is used; the last one carried over as out from Teams."""
    operator = ActorFactory(of_commands=True)
    made = OrganizationFactory.with_ids(*NAMES, plan="le_chat_free", actor=operator)
    for organization in made:
        casting.subscribe(organization, "ai_studio_experiment", operator)
    for plan in ("le_chat_teams", "le_chat_free"):
        casting.subscribe(made[-1], plan, operator)
    members.add_member(organization=made[0], email="ann@a.example", external_id="ann", actor=operator, source="admin")
    return made


def imported(folder: Path, *lines: str) -> BulkJob:
    """The job of an import, done."""
    result = importer("import_choices", folder)(HEADER + "\n".join(lines), "--reason", "As it was")
    assert result.code == 0, result.err
    if result.json["status"] == "awaiting_approval":
        approve_and_run(result)
    return BulkJob.objects.get(pk=result.json["job"], status="done")


def undone(job: BulkJob, *options: str) -> Run:
    if not User.objects.filter(email=SECOND).exists():
        UserFactory(email=SECOND, name="Frida Berg", operator=True, old=True)
    return run("undo_job", str(job.pk), *ACTOR, "--yes", "--format", "json", *options)


BOTH = ["a,,le_chat,opted_out", "a,,ai_studio,opted_out", "b,,le_chat,opted_out", "c,,ai_studio,opted_out"]
CASES = {
    "opt-outs of one product": ["a,,le_chat,opted_out", "b,,le_chat,opted_out"],
    "opt-outs of the other": ["a,,ai_studio,opted_out"],
    "opt-outs of both": BOTH,
    "opt-ins, and a carry": ["a,,le_chat,opted_in", "d,,le_chat,opted_in", "d,,ai_studio,opted_in"],
    "both ways": ["a,,le_chat,opted_in", "b,,ai_studio,opted_out"],
}


@pytest.mark.parametrize("size", [1, 1_000])
@pytest.mark.parametrize("case", CASES)
def test_undo__import_of_choices__all_as_before(
    made: list[Organization], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, size: int
) -> None:
    monkeypatch.setattr(engine, "FIRST", size)
    monkeypatch.setattr(engine, "SMALLEST", size)
    before = standing()
    job = imported(tmp_path, *CASES[case])
    assert standing() != before
    result = undone(job, "--reason", "Wrong file")
    assert (result.code, result.json["matched"], result.json["kind"]) == (0, len(CASES[case]), "undo"), result.err
    if result.json["status"] == "awaiting_approval":
        assert standing() != before
        approve_and_run(result)
    undo = BulkJob.objects.get(kind=JobKind.UNDO)
    assert (undo.status, undo.changed, undo.refused) == ("done", len(CASES[case]), 0)
    assert standing() == before
    restored = ConsentEvent.objects.filter(job=undo)
    assert {event.surface for event in restored} <= {"le_chat_console", "ai_studio_console"}
    assert all(event.surface.startswith(event.product) for event in restored)
    assert verification.verify().problems == []


def test_undo__of_both_products__waits_for_a_second_operator_and_shows_its_rows(
    made: list[Organization], tmp_path: Path
) -> None:
    job = imported(tmp_path, *BOTH)
    assert undone(job).code == 1  # lets data be used again: a reason
    assert BulkJob.objects.filter(kind=JobKind.UNDO).count() == 0
    result = undone(job, "--reason", "Wrong file")
    undo = BulkJob.objects.get(kind=JobKind.UNDO)
    assert (undo.status, undo.loosens, undo.preview) == ("awaiting_approval", True, {"change": 4})
    assert sorted((row["plan"], row["count"], row["after"]) for row in undo.summary) == [
        ("ai_studio_experiment", 2, "default"), ("le_chat_free", 2, "default"),
    ]  # fmt: skip
    named = [(row.number, row.organization.external_id, row.plan) for row in rows.listed(undo, 0, undo.matched)]
    assert sorted(row[1:] for row in named) == [
        ("a", "ai_studio_experiment"), ("a", "le_chat_free"), ("b", "le_chat_free"), ("c", "ai_studio_experiment"),
    ]  # fmt: skip
    assert (
        [row[0] for row in named]
        == [1, 2, 3, 4]
        == [row.number for row in sorted(rows.sample(undo), key=lambda r: r.number)]
    )
    assert [row.number for row in rows.listed(undo, 1, 3)] == [2, 3]
    assert result.json["digest"] == undo.digest == rows.digest(undo, None)


def test_undo__somebody_chose_since__left_alone(made: list[Organization], tmp_path: Path) -> None:
    job = imported(tmp_path, *BOTH)
    actor = casting.Actor.from_user(User.objects.get(email=ACTOR[1]), confirmed=True)
    choices.choose(
        surface=AI_STUDIO_CONSOLE, organization=made[0], choice="opted_in", reason="Asked", version_required=False,
        actor=actor, source="admin",
    )  # fmt: skip
    approve_and_run(undone(job, "--reason", "Wrong file"))
    undo = BulkJob.objects.get(kind=JobKind.UNDO)
    assert (undo.changed, undo.refusals) == (3, {"changed_since": 1})
    assert choices_of("ai_studio")["a"] == "opted_in"
    again = undone(job, "--reason", "Wrong file")
    assert (again.code, again.json["changed"], again.json["refused_because"]) == (0, 0, {"changed_since": 4})


def test_undo__members_among_them__theirs_stay_and_are_counted(made: list[Organization], tmp_path: Path) -> None:
    job = imported(tmp_path, "a,external:ann,le_chat,opted_out", "b,,le_chat,opted_out")
    approve_and_run(undone(job, "--reason", "Wrong file"))
    undo = BulkJob.objects.get(kind=JobKind.UNDO)
    assert (undo.changed, undo.refused, undo.refusals) == (1, 1, {"member_opted_out": 1})
    assert undo.preview == {"change": 1, "member_opted_out": 1}
    assert PrivacySetting.objects.get(member__external_id="ann").choice == "opted_out"
    assert choices_of("le_chat")["b"] == "default"


@pytest.mark.parametrize(
    ("table", "text", "message"),
    [
        ("choices", HEADER + "a,external:ann,le_chat,opted_out", "only the members can change them"),
        ("members", "organization_external_id,email\na,new@a.example", "An import can't be undone as a whole"),
        ("choices", HEADER + "d,,le_chat,default\na,external:ann,le_chat,opted_out", "only the members can change"),
    ],
)
def test_undo__nothing_to_be_taken_back__refused_and_nothing_changed(
    made: list[Organization], tmp_path: Path, table: str, text: str, message: str
) -> None:
    result = importer(f"import_{table}", tmp_path)(text)
    before, jobs = standing(), BulkJob.objects.count()
    refused = undone(BulkJob.objects.get(pk=result.json["job"]), "--reason", "Wrong file")
    assert refused.code == 1 and message in refused.err
    assert (standing(), BulkJob.objects.count()) == (before, jobs)


def test_undo__on_the_operators_site__offered_and_previewed(made: list[Organization], tmp_path: Path) -> None:
    job = imported(tmp_path, *BOTH)
    client = casting.signed_in(ACTOR[1])
    address = f"/admin/consent/bulkjob/{job.pk}/"
    assert "Preview an undo" in client.get(f"{address}change/").content.decode()
    response = client.post(f"{address}undo/", {"reason": "Wrong file"})
    undo = BulkJob.objects.get(kind=JobKind.UNDO)
    assert (response.status_code, response["Location"]) == (302, f"/admin/consent/bulkjob/{undo.pk}/change/")
    page = client.get(response["Location"]).content.decode()
    assert page.count("Experiment") and page.count("Free")
    for form in ("csv", "jsonl"):
        file: Any = client.get(f"/admin/consent/bulkjob/{undo.pk}/files/rows.{form}")
        assert len(b"".join(file.streaming_content).decode().splitlines()) == 4 + (form == "csv")
