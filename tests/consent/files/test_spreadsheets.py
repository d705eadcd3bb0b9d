"""CSV for people opens correctly in a spreadsheet, CSV for programs is plain; imports read both."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import translation

from consent.files.exports import CSV, JSON_LINES, PLAIN, WRITERS
from consent.files.tables import open_table
from consent.models import BulkJob
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.commands import ACTOR, run
from tests.support.factories import ActorFactory, OrganizationFactory

ROWS = [["a", 'x;y,"z"'], ["b", "=1+1"], ["c", "é"]]
MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    ("form", "language", "begins"),
    [
        (CSV, "en", MARK + b"id,text\r\n"),
        (CSV, "fr", MARK + b"id;text\r\n"),
        (PLAIN, "en", b"id,text\r\n"),
        (PLAIN, "fr", b"id,text\r\n"),
        (JSON_LINES, "fr", b'{"id": "a"'),
    ],
)
def test_writer__each_form_and_language__read_as_it_was(
    form: str, language: str, begins: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    with translation.override(language), path.open("w", encoding="utf-8", newline="") as out:
        put = WRITERS[form](out, ["id", "text"])
        for row in ROWS:
            put(row)
    assert path.read_bytes().startswith(begins)
    assert [list(record.values.values()) for record in open_table(str(path))] == ROWS


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.mark.parametrize(("language", "separator"), [("en", b","), ("fr", b";")])
def test_history__downloaded_in_a_language__as_its_spreadsheets_want_it(
    cast: Cast, language: str, separator: bytes
) -> None:
    client = casting.signed_in("ada@kvasir.example")
    one, other = (
        body(client.get(f"/o/{cast.labs.pk}/history/{form}/", headers={"accept-language": language}))
        for form in ("csv", "jsonl")
    )
    assert one.startswith(MARK + separator.join([b"event", b"at", b"what"])) and other.startswith(b"{")


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "separator"), [("en", b","), ("fr", b";")])
def test_job_rows__downloaded_on_the_site__as_spreadsheets_want_it(language: str, separator: bytes) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=ActorFactory(of_commands=True))
    run("set_consent", "--surface", "le_chat_console", "--choice", "opted_out", "--all", *ACTOR, "--dry-run")
    client = casting.signed_in(ACTOR[1])
    address = f"/admin/consent/bulkjob/{BulkJob.objects.get().pk}/files/rows.csv"
    response = client.get(address, headers={"accept-language": language})
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert body(response).startswith(MARK + separator.join([b"row", b"organization"]))


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "begins"), [((), MARK + b"id,"), (("--plain",), b"id,")])
def test_export__into_a_file__for_spreadsheets_unless_plain(
    tmp_path: Path, options: tuple[str, ...], begins: bytes
) -> None:
    path = tmp_path / "organizations.csv"
    assert run("export", "organizations", str(path), *options).code == 0
    assert path.read_bytes().startswith(begins)


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "begins"), [({}, "\ufeffid,"), ({"plain": True}, "id,")])
def test_export__stdout_led_into_a_file__for_spreadsheets_unless_plain(
    tmp_path: Path, options: dict[str, bool], begins: str
) -> None:
    path = tmp_path / "organizations.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        call_command("export", "organizations", stdout=out, **options)
    assert path.read_text(encoding="utf-8").startswith(begins)


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "begins"), [((), MARK + b"row,"), (("--plain",), b"row,")])
def test_import__problems_into_a_file__for_spreadsheets_unless_plain(
    tmp_path: Path, options: tuple[str, ...], begins: bytes
) -> None:
    ActorFactory(of_commands=True)
    path, problems = tmp_path / "file.csv", tmp_path / "problems.csv"
    path.write_text("organization_external_id,email\nno,x@y.example\n")
    assert run("import_members", str(path), *ACTOR, "--problems", str(problems), *options).code == 1
    assert problems.read_bytes().startswith(begins)
