"""A column that names a row's subject must be read or explicitly ignored, so that no choice is stored for another."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.access import Actor
from consent.files.exports import TABLES
from consent.files.subject_columns import names_subject
from consent.imports.fields import FIELDS
from consent.models import BulkJob
from consent.worker import work_once
from tests.support.commands import ACTOR, choices_of, database, run
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import Import, importer
from tests.support.jobs import Team
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db
SUBJECTS = (
    "member_id", "Member ID", "memberId", "member_email", "member e-mail", "email", "E-Mail", "EMAIL_ADDRESS", "user",
    "userID", "user_name", "username", "subject", "subject_id", "person", "owner", "customer", "customer_number",
    "account_id", "tenant", "org", "company_id", "external_id", "id", "uuid", "login", "surface", "product",
    "identifiant", "Courriel", "adresse e-mail", "Propriétaire", "Employé", "id du membre",
)  # fmt: skip
OTHERS = (
    "Note", "Choise", "organization_name", "customer name", "company", "users", "members", "user_count",
    "contact_email", "billing_address", "row", "since", "created_at", "owner_since", "reference", "invoice_id",
    "number", "emailed", "",
)  # fmt: skip
ROWS = {
    "members": ("organization_external_id,email", "a,x@a.example"),
    "subscriptions": ("organization_external_id,plan", "a,le_chat_pro"),
    "choices": ("organization_external_id,product,choice", "a,le_chat,opted_out"),
    "organizations": ("external_id,name,choice", "a,a Ltd,opted_out"),
}
PLAN = {"organizations": ("--plan", "le_chat_free")}


@pytest.fixture
def operator() -> Actor:
    operator = ActorFactory(of_commands=True)
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    return operator


@pytest.fixture
def load(operator: Actor, tmp_path: Path) -> Callable[[str], Import]:
    return lambda table: importer(f"import_{table}", tmp_path)


@pytest.mark.parametrize("name", SUBJECTS)
def test_names_subject__whom_a_row_is_about__told(name: str) -> None:
    assert names_subject(name)


@pytest.mark.parametrize("name", OTHERS)
def test_names_subject__anything_else__not_told(name: str) -> None:
    assert not names_subject(name)


def test_names_subject__what_any_table_tells_its_rows_apart_by__told() -> None:
    telling = {field.name for fields in FIELDS.values() for field in fields if "external_id" in field.name}
    telling |= {"organization", "id", "email", "owner_email", "member", "product"}
    assert telling <= {field.name for fields in FIELDS.values() for field in fields}
    assert not [name for name in telling if not names_subject(name)]


@pytest.mark.parametrize("table", ROWS)
@pytest.mark.parametrize("column", ["Member-Email", "user", "subject"])
def test_import__column_that_says_whom_and_is_not_read__refused_by_name(
    load: Callable[[str], Import], table: str, column: str
) -> None:
    (header, line), before = ROWS[table], database()
    text = f"{header},{column}\n{line},ann@a.example\n"
    result = load(table)(text, *PLAN.get(table, ()))
    assert (result.code, database()) == (2, before)
    assert f"“{column}”" in result.err and "--ignore" in result.err and "--map" in result.err
    assert load(table)(text, *PLAN.get(table, ()), "--ignore", column).code == 0


@pytest.mark.parametrize(
    ("column", "refused"),
    [("member", True), ("Member External Id", True), ("organization", False), ("allowed", False)],
)
def test_import__columns_said__a_field_that_is_left_out_is_a_subject_too(
    load: Callable[[str], Import], column: str, refused: bool
) -> None:
    header, line = ROWS["choices"]
    said = [part for name in header.split(",") for part in ("--map", f"{name}={name}")]
    result = load("choices")(f"{header},{column}\n{line},\n", *said)
    assert (result.code, f"“{column}”" in result.err) == ((2, True) if refused else (0, True))


def test_import__json_lines__the_same(load: Callable[[str], Import]) -> None:
    row = {
        "organization_external_id": "a",
        "product": "le_chat",
        "choice": "opted_out",
        "member_email": "ann@a.example",
    }
    result = load("choices")(json.dumps(row), name="rows.jsonl")
    assert (result.code, choices_of("le_chat")) == (2, {"a": "default"}) and "“member_email”" in result.err


def test_import__other_columns__a_note_when_read_and_whenever_the_job_is_looked_at(
    load: Callable[[str], Import],
) -> None:
    told = "Not read: “Note”, “Choise”."
    header, line = ROWS["members"]
    result = load("members")(f"{header},Note,Choise,role\n{line},,,owner\n", "--background")
    assert result.code == 0 and told in result.err and result.json["unread"] == ["Note", "Choise"]
    shown = run("job", "show", result.json["job"], "--format", "json")
    assert told in shown.err and shown.json["select"]["unread"] == ["Note", "Choise"]
    assert told in run("job", "run", result.json["job"]).err


@pytest.mark.parametrize("table", ROWS)
def test_import__own_export__has_no_column_that_is_refused(table: str) -> None:
    read = {field.name for field in FIELDS[table]}
    assert read & set(TABLES[table][1])


# --- On the screen ----------------------------------------------------------------------------------------------------


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def client(team: Team) -> Client:
    client = Client()
    client.force_login(team.author)
    return client


MAPPED = {"column_organization_external_id": "org", "column_product": "product", "column_choice": "choice"}
TEXT = b"org,product,choice,member_email,Note\na,le_chat,opted_out,ann@a.example,\n"


def test_import_screen__column_that_says_whom__read_or_left_out_on_purpose(team: Team, client: Client) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=team.actor)
    sent = {"table": "choices", "file": SimpleUploadedFile("f.csv", TEXT)}
    where = client.post(url("import"), sent)["Location"]
    before = database()
    refused = client.post(where, MAPPED)
    page = refused.content.decode()
    assert (refused.status_code, database()) == (400, before)
    assert "“member_email”" in page and "Columns to leave out" in page
    assert client.post(where, MAPPED | {"ignored": ["member_email"]}).status_code == 302
    while work_once():
        pass
    job = BulkJob.objects.get()
    assert (job.status, job.selection["unread"]) == ("previewed", ["Note"])
    assert "not stored: Note." in client.get(url("consent_bulkjob_change", job.pk)).content.decode()


def test_import_screen__column_of_a_field_taken_away__left_out_on_purpose_alone(team: Team, client: Client) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=team.actor)
    text = b"org,product,choice,member\na,le_chat,opted_out,external:ada\n"
    where = client.post(url("import"), {"table": "choices", "file": SimpleUploadedFile("f.csv", text)})["Location"]
    assert client.get(where).context["form"].fields["ignored"].choices == [("org", "org")]  # nobody has said yet
    refused = client.post(where, MAPPED)
    assert (refused.status_code, refused.context["form"].fields["ignored"].choices) == (400, [("member", "member")])
    assert "“member”" in str(refused.context["form"].errors["ignored"])
    assert client.post(where, MAPPED | {"ignored": ["member"]}).status_code == 302


def test_import_screen__first_rows__named_where_a_screen_is_narrow(client: Client) -> None:
    file = SimpleUploadedFile("f.csv", b"Note,org\nx,a\n")
    where = client.post(url("import"), {"table": "choices", "file": file})["Location"]
    assert '<td data-label="Note">x</td><td data-label="org">a</td>' in client.get(where).content.decode()


# --- Lists ------------------------------------------------------------------------------------------------------------


LISTS = {
    "set_consent": (
        ("--surface", "le_chat_console", "--choice", "opted_out", "--yes", "--from-file"), "external_id", "a"
    ),
    "rebind_external_ids": (("--reason", "Merged", "--dry-run"), "external_id,organization", "b,external:a"),
}  # fmt: skip


@pytest.mark.parametrize("command", LISTS)
@pytest.mark.parametrize("column", ["member_id", "User e-mail"])
def test_list__column_that_says_whom_and_is_not_read__refused_by_name(
    operator: Actor, tmp_path: Path, command: str, column: str
) -> None:
    options, header, line = LISTS[command]
    path, before = tmp_path / "list.csv", database()
    path.write_text(f"{header},{column}\n{line},x\n")
    result = run(command, *options, str(path), *ACTOR)
    assert (result.code, database()) == (1, before) and f"“{column}”" in result.err
    path.write_text(f"{header}\n{line}\n")
    assert run(command, *options, str(path), *ACTOR).code == 0


@pytest.mark.parametrize("command", LISTS)
def test_list__encoding_and_separator_said__read_so(operator: Actor, tmp_path: Path, command: str) -> None:
    options, header, line = LISTS[command]
    path = tmp_path / "list.csv"
    path.write_bytes(f"{header},Заметка\n{line},ю\n".replace(",", "~").encode("cp1251"))
    said = ("--encoding", "cp1251", "--separator", "~")
    result = run(command, *options, str(path), *ACTOR, *said)
    assert result.code == 0, result.err
    assert run(command, *options, str(path), *ACTOR, "--separator", "two").code == 1
    assert "encoding" in run(command, *options, str(path), *ACTOR, "--encoding", "klingon").err


@pytest.mark.parametrize(
    ("form", "text", "more"),
    [
        ("bulk", "external_id~Note\na~Note\n", {"surface": "le_chat_console", "choice": "opted_out"}),
        ("rebind", "external_id~organization~Note\nb~external:a~Note\n", {"rebind": "true", "reason": "Merged"}),
    ],
)
def test_list_screen__encoding_and_separator_said__read_so(
    team: Team, client: Client, form: str, text: str, more: dict[str, str]
) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=team.actor)
    data = text.replace("Note", "Заметка").replace("~", "|").encode("utf-16-le")

    def sent(**how: str) -> int:
        return client.post(url("bulk"), {**more, "file": SimpleUploadedFile("f.csv", data), **how}).status_code

    assert sent(encoding="cp1251", separator="|") == 400
    assert sent(encoding="utf-16-le", separator=";") == 400
    assert not BulkJob.objects.exists()
    assert sent(encoding="utf-16-le", separator="|") == 302
    assert BulkJob.objects.get().matched == 1
