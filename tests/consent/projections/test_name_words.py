"""Organizations are found by the words of their names: after every event that gives one, and by look-ups alone."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import NameWord, Organization
from accounts.models.name_words import wanted
from consent import ledger
from consent.projections import name_words, runner
from consent.services import erasure, organizations
from tests.support.cast import Cast
from tests.support.factories import MemberFactory, OrganizationFactory

pytestmark = pytest.mark.django_db


def catch_up() -> None:
    ledger.sequence()
    runner.catch_up("words")


def found(text: str) -> list[str]:
    return [each.name for each in Organization.objects.matching(text)]


@pytest.fixture
def named(cast: Cast) -> Cast:
    for name in ("Presses de Lyon", "Lyon Press", "Zoë Żółw-Śliwińska", "Press Pressing Prés", "& …"):
        OrganizationFactory(name=name, actor=cast.provider)
    catch_up()
    return cast


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("lyon", ["Lyon Press", "Presses de Lyon"]),
        ("LYON pres", ["Lyon Press", "Presses de Lyon"]),
        ("press lyon", ["Lyon Press"]),
        ("press", ["Press Pressing Prés", "Lyon Press", "Presses de Lyon"]),
        ("pressing press", ["Press Pressing Prés"]),
        ("pre", ["Press Pressing Prés", "Lyon Press", "Presses de Lyon"]),
        ("zolw", ["Zoë Żółw-Śliwińska"]),
        ("Sliwinska zoe", ["Zoë Żółw-Śliwińska"]),
        ("lyo press", []),  # a word in part only at the end
        ("ress", []),
        ("& ", ["& …"]),
        ("kvasir labs", ["Kvasir Labs"]),
    ],
)
def test_found__by_words_of_a_name__each_once(named: Cast, text: str, names: list[str]) -> None:
    assert found(text) == names


def test_found__before_the_worker_has_read_it__by_the_start_of_the_name(cast: Cast) -> None:
    OrganizationFactory(name="Mimir & Sons", actor=cast.provider)
    assert found("mimir &") == ["Mimir & Sons"] and found("sons") == []
    catch_up()
    assert found("sons") == ["Mimir & Sons"]


def test_renamed__found_by_the_new_name_alone(named: Cast) -> None:
    organizations.update_organization(
        organization=named.labs, actor=named.provider, source="admin", name="Saga Institute", country="SE"
    )
    assert found("labs") == [] and found("saga") == ["Saga Institute"]
    catch_up()
    assert found("institute") == ["Saga Institute"]
    assert NameWord.objects.filter(organization=named.labs).count() == 2


def test_erased__not_found_any_more__in_the_same_transaction(named: Cast) -> None:
    own = OrganizationFactory(
        name="Frida Fagerholm", kind="personal", owner=("frida@home.example", "Frida"), actor=named.provider
    )
    catch_up()
    assert found("fagerholm") == ["Frida Fagerholm"]
    erasure.erase_person(person=own.members.get().user, actor=named.provider)
    assert not NameWord.objects.filter(words__contains="fagerholm").exists() and found("fagerholm") == []


@pytest.mark.only_on("postgresql", reason="on SQLite one transaction writes at a time")
def test_names_read__are_locked_until_their_words_are_stored(named: Cast) -> None:
    OrganizationFactory(name="Fenrir Foundry", actor=named.provider)
    ledger.sequence()
    with CaptureQueriesContext(connection) as made:
        runner.catch_up("words")
    (reading,) = (each["sql"] for each in made if '"accounts_organization"."name"' in each["sql"])
    assert reading.endswith("FOR NO KEY UPDATE") and found("foundry") == ["Fenrir Foundry"]


def test_events_read_again__the_same_words(named: Cast) -> None:
    before = sorted(NameWord.objects.values_list("organization", "word", "words"))
    runner.FollowerCursor.objects.filter(name="words").update(position=0)
    catch_up()
    assert sorted(NameWord.objects.values_list("organization", "word", "words")) == before
    name_words.index_all()
    assert sorted(NameWord.objects.values_list("organization", "word", "words")) == before


def test_rarest__of_common_words__the_one_that_fewest_names_have(named: Cast) -> None:
    asked = wanted("press lyon prés")
    assert NameWord.objects.rarest(asked).text == "press"  # one name has it; two have “lyon”, three begin so


@pytest.mark.parametrize("text", ["lyon", "press lyo", "zolw s", "p"])
def test_plan__of_any_search__index_lookups_alone(named: Cast, text: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Of a few rows it is cheaper to read or sort all; what can't be had otherwise is done all the same.
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    plan = Organization.objects.matching(text)[:50].explain()
    assert "name_word_found" in plan and "Seq Scan" not in plan and "SCAN " not in plan.replace("Index ", "")
    assert "Sort" not in plan and "TEMP B-TREE" not in plan


def test_console__person_with_many_organizations__finds_own_ones_alone(named: Cast, client: Client) -> None:
    for name in ("Lyon Press", "Presses de Lyon"):
        MemberFactory(
            organization=Organization.objects.get(name=name), user=named.owner, role="owner", actor=named.provider
        )
    client.force_login(named.owner)

    def listed(**query: str) -> list[str]:
        return [each.name for each in client.get("/organizations/", query).context["page"].rows]

    assert listed() == ["Lyon Press", "Presses de Lyon", "Kvasir Labs"]
    assert listed(q="lyon") == ["Lyon Press", "Presses de Lyon"] and listed(q="PRESS") == listed(q="lyon")
    assert listed(q="zolw") == []
    assert "None of your organizations has “zolw”" in client.get("/organizations/?q=zolw").content.decode()


def test_moved__to_another_installation__words_are_made_anew(named: Cast, tmp_path: Any) -> None:
    from tests.support.commands import run
    from tests.support.installations import empty

    path = tmp_path / "state.jsonl"
    assert run("export_state", str(path)).code == 0
    assert b"nameword" not in path.read_bytes()
    empty()
    assert run("import_state", str(path)).code == 0
    assert found("zolw") == ["Zoë Żółw-Śliwińska"]
