"""Lists in files of any size: read row by row, matched by the database; every invalid row is named."""

import json
from pathlib import Path

import pytest

from accounts.models import Organization
from consent.errors import Invalid
from consent.files import loading
from consent.jobs import actions, lists
from consent.jobs.list_errors import BadList
from consent.jobs.selection import ListFile, Selection
from consent.models import BulkJob
from consent.services.organizations import OrganizationDraft, create_organizations
from consent.services.plans import get_plan
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.jobs import IN, OUT, Team, assert_each_once, choices_of
from tests.support.ledger_guards import changes_nothing, refusal

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_PAGE", 2)


@pytest.fixture
def four(team: Team) -> list[Organization]:
    """a, b, c on Le Chat Free, d on Pro."""
    drafts = [
        OrganizationDraft(
            name=name, external_id=name, subscriptions=[get_plan("le_chat_pro" if name == "d" else "le_chat_free")]
        )
        for name in "abcd"
    ]
    return create_organizations(drafts, actor=team.actor, source="admin")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def preview(team: Team, folder: Path, *lines: str, choice: str = "", **more: Selection | str) -> tuple[BulkJob, int]:
    """The job, and how many rows were left out."""
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = ListFile(str(path))
    wish = {"surface": LE_CHAT_CONSOLE, "actor": team.actor, "source": "admin", "reason": "Letters of May"} | more
    return actions.preview_choice(choice=choice, wishes=file, **wish), file.left_out


def rows_of(job: BulkJob) -> list[tuple[int, str, str]]:
    return list(job.rows.order_by("number").values_list("number", "organization__external_id", "wanted"))


def test_list__rows_in_any_order_and_twice__are_a_row_per_organization_in_order(
    team: Team, four: list[Organization], folder: Path
) -> None:
    rows = ("c,opted_out", "a,Opted in", "b,opted-out", "a,opted_in", "c,OPTED_OUT")
    job, left_out = preview(team, folder, "external_id,choice", *rows)
    assert rows_of(job) == [(1, "a", IN), (2, "b", OUT), (3, "c", OUT)]
    assert (job.matched, job.loosens, left_out, job.selection) == (3, True, 0, {})
    team.done(job)
    assert choices_of(four) == [IN, OUT, OUT, "default"]
    assert_each_once(job)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b,ann-id,,le_chat,opted_out", "row 3, column member: This is a member's own choice"),
        ("b,,ann,le_chat,opted_out", "row 3, column member_external_id: This is a member's own choice"),
        ("b,,,ai_studio,opted_out", "row 3, column product: The product here is le_chat, not “ai_studio”"),
    ],
)
def test_list__row_about_a_member_or_another_product__is_a_fault(
    team: Team, four: list[Organization], folder: Path, row: str, said: str
) -> None:
    header = "external_id,member,member_external_id,product,choice"
    with pytest.raises(BadList) as refused:
        preview(team, folder, header, "a,,,le_chat,opted_out", row)
    assert len(refused.value.problems) == 1 and said in refused.value.problems[0]
    job, _left_out = preview(team, folder, header, "a,,,le_chat,opted_out", "b,,,,opted_out")
    assert rows_of(job) == [(1, "a", OUT), (2, "b", OUT)]


@pytest.mark.parametrize("column", ["member", "product"])
def test_list__what_would_tell_whose_row_it_is_cant_be_read__is_a_fault(
    team: Team, four: list[Organization], folder: Path, column: str
) -> None:
    row = json.dumps({"external_id": "a", "choice": OUT, column: "le_chat\udc00"})
    with pytest.raises(BadList) as refused:
        preview(team, folder, row)
    assert len(refused.value.problems) == 1 and column in refused.value.problems[0]


def test_list__ids_of_both_kinds__are_the_same_organization(team: Team, four: list[Organization], folder: Path) -> None:
    ids = (str(four[1].pk).upper(), "external:b", "external:d")
    job, _left_out = preview(team, folder, "organization", *ids, choice=OUT)
    assert rows_of(job) == [(1, "b", ""), (2, "d", "")]
    assert (job.wanted, job.loosens) == (OUT, False)


def test_list__json_lines__are_read_alike(team: Team, four: list[Organization], folder: Path) -> None:
    lines = [json.dumps({"external_id": each, "choice": OUT}) for each in "db"]
    assert rows_of(preview(team, folder, *lines)[0]) == [(1, "b", OUT), (2, "d", OUT)]


def test_list__with_a_selection__those_of_both(team: Team, four: list[Organization], folder: Path) -> None:
    within = Selection(plan=("le_chat_free",))
    job, left_out = preview(team, folder, "external_id", *"dbda", choice=OUT, selection=within)
    assert ([row[1] for row in rows_of(job)], left_out) == (["a", "b"], 2)


def test_list__what_comes_to_be_selected_later__is_no_drift(team: Team, four: list[Organization], folder: Path) -> None:
    within = Selection(plan=("le_chat_free",))
    job, _left_out = preview(team, folder, "external_id", *"ad", choice=OUT, selection=within)
    team.move(four[3], "le_chat_free")
    assert team.done(job).changed == 1


def test_list__without_rows__is_a_job_for_nobody(team: Team, four: list[Organization], folder: Path) -> None:
    assert preview(team, folder, "external_id", choice=OUT)[0].matched == 0


def test_list__faults_of_every_kind__are_all_named_with_their_rows(
    team: Team, four: list[Organization], folder: Path
) -> None:
    rows = ("a,opted_out", "nobody,opted_out", ",opted_in", "b,perhaps", "a,opted_in", "b")
    with changes_nothing(), pytest.raises(BadList) as caught:
        preview(team, folder, "external_id,choice", *rows)
    error = caught.value
    assert (error.code, error.bad, error.missing) == ("bad_rows", 4, 1)
    assert [problem.partition(". ")[0] for problem in error.problems] == [
        "row 4, column external_id: is empty",
        "row 5, column choice: “perhaps” is not a choice",
        "row 6, column choice: “external:a” appears earlier in the file with the other choice",
        "row 7, column external_id: has 1 values, but there are 2 columns; put values with a separator in quotes",
    ]
    assert error.unknown == ["external:nobody"]


def test_list__more_faults_than_are_named__the_first_and_the_number(
    team: Team, four: list[Organization], folder: Path
) -> None:
    bad, unknown = (f"a{'x' * n},no" for n in range(30)), (f"u{n},opted_out" for n in range(40))
    contradicting = ("b,opted_out", *["b,opted_in"] * 25)
    with changes_nothing(), pytest.raises(BadList) as caught:
        preview(team, folder, "external_id,choice", *contradicting, *bad, *unknown)
    error = caught.value
    assert (error.bad, error.missing) == (55, 40)
    assert error.unknown == [f"external:u{n}" for n in range(lists.NAMED)]
    assert [problem.partition(",")[0] for problem in error.problems] == [f"row {n}" for n in range(3, 23)]


@pytest.mark.parametrize("ident", ["b", "{braces}", "external:", "018f0000-0000-7000-8000-000000000000", "\u202e"])
def test_list__id_that_is_none__is_unknown(team: Team, four: list[Organization], folder: Path, ident: str) -> None:
    with changes_nothing(), pytest.raises(BadList) as caught:
        preview(team, folder, "organization", "external:a", ident, choice=OUT)
    assert (caught.value.code, caught.value.unknown) == ("unknown_organization", [ident])
    assert ident in str(caught.value)


def test_list__choices_and_a_choice__is_refused(team: Team, four: list[Organization], folder: Path) -> None:
    with refusal(Invalid, "choice", "choice"):
        preview(team, folder, "external_id,choice", "a,opted_out", choice=OUT)


def test_list__neither_choices_nor_a_choice__is_refused(team: Team, four: list[Organization], folder: Path) -> None:
    with refusal(Invalid, "unknown_choice", "choice"):
        preview(team, folder, "external_id", "a")


def test_list__opts_one_in_without_a_reason__is_refused(team: Team, four: list[Organization], folder: Path) -> None:
    with refusal(Invalid, "required", "reason"):
        preview(team, folder, "external_id,choice", "a,opted_out", "b,opted_in", reason="")


# --- As it is asked for -----------------------------------------------------------------------------------------------


def test_list__ids_spelled_as_they_are_asked_for__meant_and_named_so(
    team: Team, four: list[Organization], folder: Path
) -> None:
    job, _left_out = preview(team, folder, "external_id,choice", "external:a,opted_out", "b,opted_out")
    assert [row[1] for row in rows_of(job)] == ["a", "b"]
    with pytest.raises(BadList) as refused:
        preview(team, folder, "external_id,choice", "external:kv-100,opted_out", "kv-200,opted_out")
    assert refused.value.unknown == ["external:kv-100", "external:kv-200"]
