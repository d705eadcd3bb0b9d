"""The operators' site: a file from its upload to its last row."""

import csv
import gzip
import io
import uuid
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client, override_settings

from accounts.models import Member, Organization, Subscription
from consent import retention, verification
from consent.models import BulkJob, ImportFile, ImportRow, PrivacySetting
from consent.worker import work_once
from tests.support.commands import choices_of, database
from tests.support.factories import OrganizationFactory
from tests.support.jobs import Team
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db
HALLS = "Name,Id,Training\nHall A,a,opted_out\nHall B,b,\n"
MAPPED = {
    "column_name": "Name", "column_external_id": "Id", "column_choice": "Training",
    "plans": ["le_chat_free"], "kind": "team",
}  # fmt: skip


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def operator(team: Team) -> Client:
    client = Client()
    client.force_login(team.author)
    return client


def send(client: Client, text: str | bytes, table: str = "organizations", name: str = "halls.csv") -> HttpResponse:
    data = text.encode() if isinstance(text, str) else text
    return client.post(url("import"), {"table": table, "file": SimpleUploadedFile(name, data)})


def mapped(client: Client, text: str | bytes, sent: dict[str, Any], **upload: str) -> BulkJob:
    """The job, read by a worker."""
    response = send(client, text, **upload)
    assert response.status_code == 302
    response = client.post(response["Location"], sent)
    assert response.status_code == 302, response.content.decode()
    job = BulkJob.objects.latest("pk")
    assert response["Location"] == url("consent_bulkjob_change", job.pk) and job.status == "reading"
    return worked(job)


def worked(job: BulkJob) -> BulkJob:
    while work_once():
        pass
    job.refresh_from_db()
    return job


def run(client: Client, job: BulkJob) -> BulkJob:
    assert client.post(url("consent_bulkjob_run", job.pk), {"digest": job.digest}).status_code == 302
    return worked(job)


def page_of(client: Client, job: BulkJob) -> str:
    return client.get(url("consent_bulkjob_change", job.pk)).content.decode()


@pytest.mark.parametrize(("language", "bad"), [("en", "Skipped: Bad row"), ("fr", "Laissées de côté : Ligne fautive")])
def test_import__rows_that_are_passed_over__say_why_in_words(operator: Client, language: str, bad: str) -> None:
    job = mapped(operator, HALLS + "Hall C,A,opted_out\n", MAPPED)
    told = operator.get(url("consent_bulkjob_change", job.pk), headers={"accept-language": language}).content.decode()
    assert bad in told.replace("\xa0", " ")


def test_import__organizations__seen_before_anything_is_written(operator: Client) -> None:
    columns = operator.get(send(operator, HALLS)["Location"])
    assert "Hall A" in columns.content.decode()
    assert columns.context["form"].initial["column_name"] == "Name"
    job = mapped(operator, HALLS, MAPPED)
    assert (job.status, job.preview) == ("previewed", {"change": 2})
    assert "Import 2 rows" in page_of(operator, job) and not Organization.objects.exists()
    assert run(operator, job).status == "done"
    assert choices_of("le_chat") == {"a": "opted_out", "b": "default"}
    assert verification.verify().problems == []


def test_import__mistakes__each_told_and_the_rest_imported(operator: Client) -> None:
    text = "Name,Id,Training\nHall A,a,perhaps\n,b,\nHall C,c,\n"
    job = mapped(operator, text, MAPPED)
    page = page_of(operator, job)
    for told in ("perhaps", "Write opted_out or opted_in", "Import 1 row, leave the bad ones out", "2 remarks"):
        assert told in page
    file = operator.get(url("consent_bulkjob_file", job.pk, "problems", "csv"))
    rows = list(csv.DictReader(io.StringIO(b"".join(file.streaming_content).decode("utf-8-sig"))))
    assert [(row["row"], row["column"], row["value"]) for row in rows] == [
        ("2", "Training", "perhaps"),
        ("3", "Name", ""),
    ]
    assert not Organization.objects.exists()
    run(operator, job)
    assert Organization.objects.get().external_id == "c"


def test_import__members_subscriptions_choices__by_external_id(team: Team, operator: Client) -> None:
    OrganizationFactory.with_ids("a", actor=team.actor)
    by_external = {"column_organization_external_id": "org"}
    people = mapped(operator, "org,mail\na,p@x.example\n", by_external | {"column_email": "mail"}, table="members")
    held = mapped(operator, "org,plan\na,le_chat_pro\n", by_external | {"column_plan": "plan"}, table="subscriptions")
    for job in (people, held):
        assert run(operator, job).changed == 1
    assert Member.objects.get().user.email == "p@x.example"
    assert Subscription.objects.get().plan_id == "le_chat_pro"
    wish = by_external | {"column_product": "product", "column_choice": "choice"}
    said = mapped(operator, "org,product,choice\na,le_chat,opted_out\n", wish, table="choices")
    assert run(operator, said).changed == 1
    assert PrivacySetting.objects.get(product="le_chat").choice == "opted_out"
    assert verification.verify().problems == []


def test_import__opts_in__needs_a_reason_and_waits_for_another_operator(team: Team, operator: Client) -> None:
    text = "Name,Id,Training\nHall A,a,opted_in\n"
    job = mapped(operator, text, MAPPED)
    assert job.status == "cancelled" and "needs a reason" in page_of(operator, job)
    job = mapped(operator, text, MAPPED | {"reason": "Signed"})
    assert run(operator, job).status == "awaiting_approval"
    assert not Organization.objects.exists()


def test_import__json_lines_gzip_and_other_encodings__read(operator: Client) -> None:
    for n, data in enumerate(
        [
            b'{"Name": "Hall J", "Id": "j", "Training": ""}\n',
            gzip.compress(HALLS.encode()),
            "Name;Id;Training\nHall É;e;\n".encode("cp1252"),
        ]
    ):
        job = mapped(operator, data, MAPPED, name=f"file-{n}")
        assert job.status == "previewed", job.error
        run(operator, job)
    assert set(Organization.objects.values_list("name", flat=True)) == {"Hall J", "Hall A", "Hall B", "Hall É"}


def test_import__discarded__rows_and_file_go_and_nothing_is_written(operator: Client) -> None:
    job = mapped(operator, HALLS, MAPPED)
    assert operator.post(url("consent_bulkjob_verb", job.pk, "cancel")).status_code == 302
    retention.tidy_up()
    assert not ImportRow.objects.exists() and not Organization.objects.exists()


# --- Refused, and nothing changed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"table": "planets", "file": b"a,b\n"}, "table"),
        ({"table": "organizations", "file": b""}, "file"),
        ({"table": "organizations"}, "file"),
    ],
)
def test_upload__bad__400_names_the_field(operator: Client, sent: dict[str, Any], field: str) -> None:
    if "file" in sent:
        sent = sent | {"file": SimpleUploadedFile("x.csv", sent["file"])}
    response = operator.post(url("import"), sent)
    assert response.status_code == 400 and field in response.context["form"].errors
    assert not ImportFile.objects.exists()


@pytest.mark.parametrize("name", ["import", "bulk"])
def test_upload__too_large__400_says_how_large_and_keeps_nothing(operator: Client, name: str) -> None:
    scope = {"surface": "le_chat_console", "choice": "opted_out", "table": "members"}
    before = database()
    with override_settings(UPLOAD_MB=1):
        file = SimpleUploadedFile("x.csv", b"x" * (1 << 20) + b"y")
        response = operator.post(url(name), {**scope, "file": file})
    assert response.status_code == 400
    assert "larger than 1 MiB" in response.context["form"].errors["file"][0]
    assert database() == before


def test_columns__of_a_long_file__read_from_its_beginning(operator: Client) -> None:
    text = "Name,Id,Training\n" + "".join(f"Hall É {n},h{n},\n" for n in range(200_000))
    response = operator.get(send(operator, text)["Location"])
    assert response.status_code == 200 and "Hall É 4" in response.content.decode()
    packed = operator.get(send(operator, gzip.compress(text.encode()))["Location"])
    assert packed.status_code == 200 and "Hall É 4" in packed.content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"column_name": ""}, "column_name"),
        ({"column_name": "Nome"}, "column_name"),
        ({"plans": []}, "plans"),
        ({"plans": ["le_chat_free", "le_chat_pro"]}, "plans"),
        ({"default_choice": "opted_out"}, "default_choice"),
        ({"kind": "personal"}, "kind"),
        ({"column_choice": "", "default_choice": "opted_in"}, "reason"),
        ({"column_since": "Training"}, "reference"),
    ],
)
def test_columns__bad__400_names_the_field(operator: Client, changes: dict[str, Any], field: str) -> None:
    place = send(operator, HALLS)["Location"]
    before = database()
    response = operator.post(place, MAPPED | changes)
    assert response.status_code == 400 and field in response.context["form"].errors
    assert database() == before


@pytest.mark.parametrize("data", [b"\x00\x01\x02", b"Name,Id,Name\n1,2,3\n", b"\n"])
def test_columns__file_that_is_none__400_and_said(operator: Client, data: bytes) -> None:
    response = operator.get(send(operator, data)["Location"])
    assert response.status_code == 400 and "can't be read" in response.content.decode()
    assert not BulkJob.objects.exists()


def test_columns__no_such_file__404(operator: Client) -> None:
    for ident in ("nothing", uuid.uuid4()):
        assert operator.get(url("import_file", ident)).status_code == 404


def test_columns__of_another_operators_file__404_or_they_could_approve_their_own(team: Team, operator: Client) -> None:
    place = send(operator, HALLS)["Location"]
    client = Client()
    client.force_login(team.second)
    before = database()
    assert client.get(place).status_code == client.post(place, MAPPED).status_code == 404
    assert database() == before


@pytest.mark.parametrize("role", ["anonymous", "member"])
def test_import__whoever_is_no_operator__kept_out(team: Team, operator: Client, role: str) -> None:
    place = send(operator, HALLS)["Location"]
    client = Client()
    if role == "member":
        team.second.is_staff = False
        team.second.save(update_fields=["is_staff"])
        client.force_login(team.second)
    expected = 302 if role == "anonymous" else 403
    before = database()
    assert send(client, HALLS).status_code == client.get(place).status_code == expected
    assert client.post(place, MAPPED).status_code == expected
    assert database() == before


# --- How a file is read: what is guessed can be corrected -------------------------------------------------------------

SEPARATED = "Name, legal;Country, ISO;Id\nHall A;FR;a\nHall B;DE;b\n"
IN_THREE = {"column_name": "Name, legal", "column_external_id": "Id", "plans": ["le_chat_free"], "kind": "team"}


def test_columns__separator__told_from_the_rows_and_the_same_when_read(operator: Client) -> None:
    page = operator.get(send(operator, SEPARATED)["Location"])
    assert page.context["table"].columns == ["Name, legal", "Country, ISO", "Id"]
    job = mapped(operator, SEPARATED, IN_THREE)
    assert (job.preview, job.selection["separator"]) == ({"change": 2}, ";")


def test_columns__another_separator_chosen__shown_and_read_so(operator: Client) -> None:
    text = "Name,Id,Training\nHall A;x,a,\n"
    place = send(operator, text)["Location"]
    shown = operator.get(place, {"separator": ";"})
    assert shown.context["table"].columns == ["Name,Id,Training"]
    assert shown.context["form"]["separator"].value() == ";" and shown.context["reading"]["separator"].value() == ";"
    assert operator.get(place, {"separator": "no", "encoding": "no"}).context["table"].columns[0] == "Name"
    before = database()
    assert operator.post(place, MAPPED | {"separator": "no"}).status_code == 400 and database() == before
    job = mapped(operator, SEPARATED, {**MAPPED, "column_name": "Name", "column_external_id": "legal;Country",
                                       "column_choice": "", "separator": ","})  # fmt: skip
    assert job.selection["separator"] == "," and job.preview == {"bad": 2, "change": 0}


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp1251", "Зал"), ("cp932", "髙島①"), ("utf-16-le", "Зал"), ("utf-16", "é"), ("koi8-r", "Зал"), ("cp1252", "é")],
)
def test_columns__encoding_chosen__names_as_they_are(operator: Client, encoding: str, name: str) -> None:
    data = f"Name,Id,Training\n{name},a,\n".encode(encoding)
    page = operator.get(send(operator, data)["Location"], {"encoding": encoding})
    assert name in page.content.decode()
    run(operator, mapped(operator, data, MAPPED | {"encoding": encoding}))
    assert Organization.objects.get().name == name


@pytest.mark.parametrize(("encoding", "doubtful"), [("cp1251", True), ("utf-8", False), ("utf-16", False)])
def test_columns__doubtful_guess__said(operator: Client, encoding: str, doubtful: bool) -> None:
    page = operator.get(send(operator, "Name,Id\nЗал,a\n".encode(encoding))["Location"]).content.decode()
    assert ("detected for certain" in page) == doubtful


def test_columns__file_that_the_guess_can_not_read__encoding_can_be_chosen(operator: Client) -> None:
    place = send(operator, "Name,Id\n髙、島,a\n".encode("cp932"))["Location"]
    refused = operator.get(place)
    assert refused.status_code == 400 and 'name="encoding"' in refused.content.decode()
    assert "髙、島" in operator.get(place, {"encoding": "cp932"}).content.decode()


@pytest.mark.parametrize(
    "line",
    [
        '{"Name": "Half\\ud83d", "Id": "x"}',
        '{"Name": "N\\u0000", "Id": "x"}',
        '{"Name": ' + "[" * 10_000 + "]" * 10_000 + "}",
        '{"Name": 1e400, "Id": "x"}',
        '{"Name": "H\\ud83d\\ud83d", "Id": "\\udc00"}',
        '{"Name": "A", "\\ud83d": "x"}',
        "[1]",
    ],
    ids=lambda line: line[:30],
)
def test_import__value_that_is_no_text__bad_row_and_the_others_go_on(operator: Client, line: str) -> None:
    for lines in (f'{{"Name": "Good", "Id": "g"}}\n{line}\n', f'{{"Name": "Good", "Id": "g"}}\n{line}'):
        page = operator.get(send(operator, lines)["Location"])
        assert page.status_code == 200 and "Good" in page.content.decode()
        job = mapped(operator, lines, MAPPED | {"column_choice": ""})
        assert (job.status, job.preview["bad"], job.preview["change"]) == ("previewed", 1, 1), job.error
        assert job.problems.values_list("line", flat=True).distinct().get() == 2
        assert page_of(operator, job)
