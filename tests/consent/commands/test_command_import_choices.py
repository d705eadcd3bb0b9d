import gzip
import json
from pathlib import Path

import pytest

from accounts.access import Actor
from accounts.models import Organization
from consent import verification
from consent.models import BulkJob, ConsentEvent, PrivacySetting
from consent.services import choices, locks, organizations
from consent.surfaces import LE_CHAT_CONSOLE
from consent.worker import work_once
from tests.support.cast import Cast, make
from tests.support.commands import choices_of, database
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import Import, approve_and_run, counts, importer

pytestmark = pytest.mark.django_db
HEAD = "organization_external_id,product,choice\n"


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def load(operator: Actor, tmp_path: Path) -> Import:
    OrganizationFactory.with_ids("a", "b", "c", plan="le_chat_free", actor=operator)
    return importer("import_choices", tmp_path)


def choose(external_id: str, choice: str, operator: Actor) -> None:
    organization = Organization.objects.get(external_id=external_id)
    wish = {"surface": LE_CHAT_CONSOLE, "organization": organization, "choice": choice, "reason": "as agreed"}
    choices.choose(**wish, actor=operator, source="admin", version_required=False)


def test_import__opt_outs__written_at_once(load: Import) -> None:
    result = load(HEAD + "a,le_chat,opted_out\nb,le_chat,\nc,ai_studio,Opted-Out\n")
    assert (result.code, counts(result)) == (0, {"chosen": 2, "unchanged": 1})
    assert choices_of("le_chat") == {"a": "opted_out", "b": "default", "c": "default"}
    assert choices_of("ai_studio")["c"] == "opted_out"
    assert verification.verify().problems == []


def test_import__opt_ins__need_a_reason_and_approval_and_pass_over_who_opted_out(load: Import, operator: Actor) -> None:
    choose("b", "opted_out", operator)
    text, before = HEAD + "a,le_chat,opted_in\nb,le_chat,opted_in\n", database()
    refused = load(text)
    assert (refused.code, "--reason" in refused.err) == (2, True)
    assert database() == before
    result = load(text, "--reason", "Signed")
    assert (result.json["status"], result.json["refused"]) == ("awaiting_approval", 1)
    assert choices_of("le_chat")["a"] == "default"
    assert approve_and_run(result)["changed"] == 1
    assert choices_of("le_chat") == {"a": "opted_in", "b": "opted_out", "c": "default"}
    assert verification.verify().problems == []


def test_import__somebody_opts_out_before_it_is_approved__passed_over_and_told(load: Import, operator: Actor) -> None:
    result = load(HEAD + "a,le_chat,opted_in\nb,le_chat,opted_in\n", "--reason", "Signed")
    choose("a", "opted_out", operator)
    assert approve_and_run(result)["changed"] == 1
    assert choices_of("le_chat")["a"] == "opted_out"
    [problem] = BulkJob.objects.get().problems.filter(kind="refused")
    assert problem.line == 2 and "has opted out" in problem.remedy
    assert verification.verify().problems == []


def test_import__locked_before_it_is_run__passed_over(load: Import, operator: Actor) -> None:
    result = load(HEAD + "a,le_chat,opted_in\n", "--reason", "Signed")
    organization = Organization.objects.get(external_id="a")
    locks.place_lock(
        organization=organization, product="le_chat", reason="law", reference="§", actor=operator, source="admin"
    )  # fmt: skip
    assert approve_and_run(result)["changed"] == 0
    assert choices_of("le_chat")["a"] == "default"


def test_import__members__opt_out_only(load: Import, tmp_path: Path) -> None:
    cast: Cast = make_cast()
    head = "organization_external_id,member,product,choice\n"
    member = str(cast.labs_member.pk)
    result = load(head + f"labs,{member},le_chat,opted_out\n")
    assert (result.code, counts(result)) == (0, {"chosen": 1})
    setting = PrivacySetting.objects.get(member=cast.labs_member)
    assert (setting.choice, setting.allowed) == ("opted_out", False)
    before = database()
    for row, remedy in (
        (f"labs,{member},le_chat,opted_in", "Only the member opts in"),
        (f"labs,{member},ai_studio,opted_out", "Members choose for le_chat only"),
        ("labs,external:nobody,le_chat,opted_out", "has no such member"),
        (f"a,{member},le_chat,opted_out", "has no such member"),
    ):
        result = load(head + row + "\n")
        assert result.code == 1 and remedy in result.json["bad_rows"][0]
    assert database() == before
    assert verification.verify().problems == []


def make_cast() -> Cast:
    from accounts.models import User

    User.objects.filter(email="odin@provider.example").update(email="odin@elsewhere.example")
    cast = make()
    organizations.update_organization(
        organization=cast.labs, external_id="labs", actor=cast.provider, source="admin"
    )  # fmt: skip
    return cast


@pytest.mark.parametrize(
    ("row", "column", "remedy"),
    [
        ("nowhere,le_chat,opted_out", "organization_external_id", "There is no such organization"),
        ("a,chat,opted_out", "product", "The products: le_chat, ai_studio"),
        ("a,le_chat,perhaps", "choice", "Write opted_out or opted_in"),
        ("a,,opted_out", "product", "It is empty"),
    ],
)
def test_import__bad_row__named_and_nothing_written(load: Import, row: str, column: str, remedy: str) -> None:
    before = database()
    result = load(HEAD + f"b,le_chat,opted_out\n{row}\n")
    assert result.code == 1
    [told] = result.json["bad_rows"]
    assert told.startswith(f"row 3, column {column}: ") and remedy in told
    assert database() == before


def test_import__rows_that_contradict__both_bad(load: Import) -> None:
    result = load(HEAD + "a,le_chat,opted_out\na,le_chat,opted_in\n", "--reason", "x")
    assert result.code == 1
    assert [line.partition(",")[0] for line in result.json["bad_rows"]] == ["row 2", "row 3"]


def test_import__json_lines_and_gzip__read_like_csv(load: Import) -> None:
    rows = [{"organization_external_id": each, "product": "le_chat", "choice": "opted_out"} for each in "ab"]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert counts(load(text, name="file.jsonl")) == {"chosen": 2}
    packed = gzip.compress((HEAD + "c,le_chat,opted_out\n").encode())
    assert counts(load(packed, name="file.csv.gz")) == {"chosen": 1}
    assert set(choices_of("le_chat").values()) == {"opted_out"}


def test_import__background__left_to_a_worker(load: Import) -> None:
    result = load(HEAD + "a,le_chat,opted_out\n", "--background")
    assert (result.code, result.json["status"], result.json["written"]) == (0, "queued", False)
    while work_once():
        pass
    assert choices_of("le_chat")["a"] == "opted_out"
    event = ConsentEvent.objects.latest("pk")
    assert (event.source, event.actor_type) == ("import", "command")


def test_import__dry_run__counts_and_leaves_nothing(load: Import) -> None:
    before = database()
    result = load(HEAD + "a,le_chat,opted_out\n", "--dry-run")
    assert (counts(result), result.json["written"]) == ({"chosen": 1}, False)
    assert database() == before


def test_import__problems__all_in_a_file_that_names_row_column_value_and_remedy(load: Import, tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    load(HEAD + "a,chat,opted_out\n", "--problems", str(path))
    [problem] = [json.loads(line) for line in path.read_text().splitlines()]
    assert {name: problem[name] for name in ("row", "column", "value", "kind")} == {
        "row": 2, "column": "product", "value": "chat", "kind": "bad",
    }  # fmt: skip
    assert "The products" in problem["remedy"]
