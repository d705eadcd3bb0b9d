from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member, Organization, User
from consent import verification
from consent.decisions import decide
from consent.lookups import Question
from consent.models import ConsentEvent
from consent.services import members, organizations
from tests.support.cast import Cast
from tests.support.commands import database
from tests.support.imports import Import, approve_and_run, counts, importer

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def id_of_labs(cast: Cast) -> None:
    by: dict[str, Any] = {"actor": cast.provider, "source": "admin"}
    organizations.update_organization(organization=cast.labs, external_id="labs", **by)


@pytest.fixture
def load(cast: Cast, tmp_path: Path) -> Import:
    return importer("import_members", tmp_path)


HEAD = "organization_external_id,email,name,role,external_id\n"


def test_import__new_people__join_with_events_and_no_password(load: Import, cast: Cast) -> None:
    result = load(HEAD + "labs,New@Kvasir.example,Nils Ek,admin,e1\nlabs,eli@brage.example,Other name,,\n")
    assert (result.code, counts(result)) == (0, {"joined": 2})
    new, known = (Member.objects.select_related("user").get(user__email=e, organization=cast.labs)
                  for e in ("new@kvasir.example", "eli@brage.example"))  # fmt: skip
    assert (new.role, new.external_id, new.user.name, new.user.has_usable_password()) == (
        "admin",
        "e1",
        "Nils Ek",
        False,
    )
    assert (known.role, known.external_id, known.user.name) == ("member", None, "Eli Berg")
    events = ConsentEvent.objects.filter(kind="member.joined", source="import")
    assert set(events.values_list("actor_type", "by_operator")) == {("command", True)} and len(events) == 2
    assert verification.verify().problems == []


def test_import__same_file_again__all_unchanged_and_nothing_written(load: Import) -> None:
    text = HEAD + "labs,new@kvasir.example,Nils Ek,admin,e1\n"
    load(text)
    before = database()
    again = load(text)
    assert (again.code, counts(again)) == (0, {"unchanged": 1})
    assert database() == before


def test_import__known_otherwise__reported_and_left(load: Import, cast: Cast) -> None:
    members.remove_member(member=cast.labs_member, actor=cast.provider, source="admin")
    before = database()
    result = load(
        HEAD + "labs,bo@kvasir.example,,auditor,\nlabs,dag@kvasir.example,,,\nlabs,ada@kvasir.example,,owner,o1\n"
    )
    assert (result.code, result.json["differing"]) == (0, 3)
    assert [line.partition(":")[0] for line in result.json["differing_rows"]] == [
        f"row {row}, column email" for row in (2, 3, 4)
    ]
    assert "has left the organization" in result.json["differing_rows"][1]
    assert database() == before


BAD = [
    ("nowhere,a@x.example,,,", "organization_external_id", "There is no such organization"),
    (",a@x.example,,,", "organization_external_id", "Say whose row it is"),
    ("labs,nobody,,,", "email", "is not an e-mail address"),
    ("labs,,,,", "email", "It is empty"),
    ("labs,a@x.example,,king,", "role", "king"),
    (f"labs,a@x.example,{'x' * 201},,", "name", "200"),
    (f"labs,a@x.example,,,{'x' * 201}", "external_id", "200"),
    ("labs,a@x.example", "", "has 2 values"),
]


@pytest.mark.parametrize(("row", "column", "remedy"), BAD)
def test_import__bad_row__named_with_column_and_remedy_and_nothing_written(
    load: Import, row: str, column: str, remedy: str
) -> None:
    before = database()
    result = load(HEAD + f"labs,good@x.example,,,\n{row}\n")
    assert result.code == 1
    [told] = result.json["bad_rows"]
    assert told.startswith(f"row 3, column {column}: " if column else "row 3: ") and remedy in told
    assert database() == before
    skipped = load(HEAD + f"labs,good@x.example,,,\n{row}\n", "--skip-bad")
    assert (skipped.code, counts(skipped)) == (0, {"joined": 1, "bad": 1})


def test_import__closed_and_personal_organization__bad(load: Import, cast: Cast) -> None:
    organizations.close_organization(organization=cast.brage, reason="over", actor=cast.provider, source="admin")
    result = load(f"organization,email\n{cast.brage.pk},a@x.example\n")
    assert (result.code, "Reopen it" in result.json["bad_rows"][0]) == (1, True)


def test_import__since__attested_after_approval_and_reaches_back(load: Import) -> None:
    text = "organization_external_id,email,since\nlabs,new@kvasir.example,2024-01-01T00:00:00Z\n"
    mapped = ("--map", "organization_external_id=organization_external_id", "--map", "email=email")
    assert load(text, *mapped, "--map", "since=since").code == 2
    result = load(text, *mapped, "--map", "since=since", "--reference", "Contract 7")
    assert (result.code, result.json["status"]) == (0, "awaiting_approval")
    assert not User.objects.filter(email="new@kvasir.example").exists()
    assert approve_and_run(result)["status"] == "done"
    member = Member.objects.get(user__email="new@kvasir.example")
    assert (member.joined_at.year, ConsentEvent.objects.get(kind="since.attested").reference) == (2024, "Contract 7")
    assert verification.verify().problems == []


def test_import__several_people_of_one_organization__it_had_others_from_then_on(load: Import, cast: Cast) -> None:
    assert not Organization.objects.get(pk=cast.brage.pk).had_others
    text = f"organization,email\n{cast.brage.pk},a@x.example\n{cast.brage.pk},b@x.example\n"
    assert counts(load(text)) == {"joined": 2}
    assert Organization.objects.get(pk=cast.brage.pk).had_others
    assert verification.verify().problems == []


def test_import__column_named_since__not_taken_for_it(load: Import) -> None:
    result = load("organization_external_id,email,since\nlabs,new@kvasir.example,2024-01-01T00:00:00Z\n")
    assert counts(result) == {"joined": 1}
    assert not ConsentEvent.objects.filter(kind="since.attested").exists()
    member = Member.objects.get(user__email="new@kvasir.example")
    assert member.joined_at.year > 2024
    answer = decide(Question("external:labs", "le_chat", str(member.pk)), Actor.system())
    assert answer.decision.allowed
