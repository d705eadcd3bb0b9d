import csv
import gzip
import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from accounts.models import Organization
from consent.services import choices, members, organizations
from consent.services.organizations import OrganizationDraft
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support import cast as casting
from tests.support.cast import Cast
from tests.support.commands import database, run
from tests.support.recordings import Recorded

pytestmark = pytest.mark.django_db
TABLES = ("organizations", "members", "subscriptions", "choices", "external_ids")


def make_choices() -> Cast:
    made = casting.make()
    members.update_member(member=made.labs_member, external_id="dag", actor=made.provider, source="api")
    for surface, member, actor in (
        (LE_CHAT_CONSOLE, None, made.admin),
        (LE_CHAT_MOBILE, made.labs_member, made.member),
    ):
        choices.choose(
            surface=surface,
            organization=made.labs,
            member=member,
            choice="opted_out",
            actor=casting.Actor.from_user(actor, confirmed=True),
            source="data_controls" if member else "console",
        )
    return made


@pytest.fixture
def made(db: None, recorded: Recorded[Cast]) -> Cast:
    return recorded(make_choices).load()


def _rows(what: str, *options: str) -> list[dict[str, Any]]:
    result = run("export", what, *options)
    assert result.code == 0
    if "jsonl" in options:
        return [json.loads(line) for line in result.out.splitlines()]
    return list(csv.DictReader(io.StringIO(result.out, newline="")))


def test_export__organizations__all_in_order_with_their_values(made: Cast) -> None:
    one, two = _rows("organizations")
    assert (one["id"], one["name"], one["kind"], one["status"]) == (str(made.labs.pk), "Kvasir Labs", "team", "active")
    assert one["created_at"].endswith("Z")
    assert (one["external_id"], two["name"]) == ("", "Brage Skaldskap")


def test_export__external_ids__all_that_they_meant(made: Cast) -> None:
    by: dict[str, Any] = {"actor": made.provider, "source": "api"}
    for external_id in ("labs-1", None, "labs-2"):
        organizations.update_organization(organization=made.labs, external_id=external_id, **by)
    dag, first, second = _rows("external_ids", "--format", "jsonl")
    assert [(each["external_id"], each["organization"], each["member"]) for each in (dag, first, second)] == [
        ("dag", str(made.labs.pk), str(made.labs_member.pk)),
        ("labs-1", str(made.labs.pk), None), ("labs-2", str(made.labs.pk), None),
    ]  # fmt: skip
    assert first["withdrawn_at"].endswith("Z") and second["withdrawn_at"] is None
    assert second["given_at"] == second["since"] > first["withdrawn_at"]


def test_export__members__with_address_and_organization(made: Cast) -> None:
    rows = _rows("members", "--format", "jsonl")
    assert [row["email"] for row in rows][:2] == ["ada@kvasir.example", "bo@kvasir.example"]
    assert {row["organization"] for row in rows} == {str(made.labs.pk), str(made.brage.pk)}
    assert (rows[0]["role"], rows[0]["left_at"]) == ("owner", None)


def test_export__subscriptions__live_and_ended(made: Cast) -> None:
    casting.subscribe(made.brage, "le_chat_enterprise", made.provider)
    rows = [row for row in _rows("subscriptions") if row["organization"] == str(made.brage.pk)]
    assert [(row["plan"], bool(row["ended_at"])) for row in rows] == [
        ("le_chat_teams", True),
        ("le_chat_enterprise", False),
    ]


def test_export__choices__of_organizations_and_of_members(made: Cast) -> None:
    rows = [row for row in _rows("choices") if row["choice"] == "opted_out"]
    assert [(row["member"], row["product"], row["allowed"], row["reason"]) for row in rows] == [
        ("", "le_chat", "false", "organization_opted_out"),
        (str(made.labs_member.pk), "le_chat", "false", "member_opted_out"),
    ]


@pytest.mark.parametrize("what", TABLES)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export__both_formats__same_columns_for_every_row_and_only_noted(made: Cast, what: str, form: str) -> None:
    before = database()
    rows = _rows(what, "--format", form)
    assert rows and {tuple(row) for row in rows} == {tuple(rows[0])}
    after = database()
    assert {table for table in after if after[table] != before[table]} == {
        "consent_consentevent",
        "consent_pendingevent",
    }


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_export__value_like_a_formula__harmless_in_csv_and_as_it_is_in_json(made: Cast, start: str) -> None:
    # Some of these starts no service lets through; what is in the database is exported all the same.
    Organization.objects.filter(pk=made.labs.pk).update(name=f'{start}HYPERLINK("x")')
    assert _rows("organizations")[0]["name"] == f'\'{start}HYPERLINK("x")'
    assert _rows("organizations", "--format", "jsonl")[0]["name"] == f'{start}HYPERLINK("x")'


def test_export__empty_installation__header_alone() -> None:
    assert run("export", "organizations").out.startswith("id,external_id,name,")
    assert run("export", "organizations", "--format", "jsonl").out == ""


def test_export__more_rows_than_a_batch__every_one_once(made: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consent.files.exports._BATCH", 3)
    drafts = [OrganizationDraft(name=f"N{number}") for number in range(10)]
    organizations.create_organizations(drafts, actor=made.provider, source="admin")
    names = [row["name"] for row in _rows("organizations")]
    assert len(names) == len(set(names)) == 12


def test_export__to_a_file__private_and_never_over_another(made: Cast, tmp_path: Path) -> None:
    path = tmp_path / "organizations.csv"
    first = run("export", "organizations", str(path))
    assert (first.code, first.out) == (0, "")
    assert "2 organizations" in first.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "Kvasir Labs" in path.read_text(encoding="utf-8")
    before = path.read_bytes()
    again = run("export", "members", str(path))
    assert again.code == 1
    assert "is there already" in again.err
    assert path.read_bytes() == before
    assert run("export", "members", str(path), "--force").code == 0
    assert "ada@kvasir.example" in path.read_text(encoding="utf-8")


def test_export__to_a_packed_file__unpacks_to_the_same(made: Cast, tmp_path: Path) -> None:
    path = tmp_path / "choices.csv.gz"
    assert run("export", "choices", str(path), "--plain").code == 0
    assert gzip.decompress(path.read_bytes()).decode().splitlines() == run("export", "choices").out.splitlines()


@pytest.mark.parametrize("argv", [("people",), ("members", "-", "--format", "xml"), ()])
def test_export__wrong_command_line__exits_2(argv: tuple[str, ...]) -> None:
    assert run("export", *argv).code == 2
