from pathlib import Path

import pytest

from accounts.access import Actor
from accounts.models import Organization, Subscription
from consent import verification
from consent.models import ConsentEvent, PrivacySetting
from consent.services import locks, organizations, plans
from tests.support.commands import database
from tests.support.factories import ActorFactory, OrganizationFactory
from tests.support.imports import Import, approve_and_run, counts, importer

pytestmark = pytest.mark.django_db
HEAD = "organization_external_id,plan\n"


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


@pytest.fixture
def load(operator: Actor, tmp_path: Path) -> Import:
    OrganizationFactory.with_ids("new", actor=operator)
    OrganizationFactory.with_ids("free", plan="le_chat_free", actor=operator)
    OrganizationFactory.with_ids("teams", plan="le_chat_teams", actor=operator)
    return importer("import_subscriptions", tmp_path)


@pytest.fixture
def import_organizations(tmp_path: Path) -> Import:
    return importer("import_organizations", tmp_path)


def held() -> dict[str, str]:
    live = Subscription.objects.filter(ended_at=None)
    return dict(live.values_list("organization__external_id", "plan"))


def test_import__first_move_and_same__as_by_the_service(load: Import) -> None:
    result = load(HEAD + "new,le_chat_pro\nfree,le_chat_teams\nteams,le_chat_teams\n")
    assert (result.code, result.json["unchanged"]) == (0, 1)
    assert held() == {"new": "le_chat_pro", "free": "le_chat_teams", "teams": "le_chat_teams"}
    allowed = dict(PrivacySetting.objects.filter(product="le_chat").values_list("organization__external_id", "allowed"))
    assert allowed == {"new": True, "free": False, "teams": False}
    kinds = ConsentEvent.objects.filter(source="import").order_by("organization").values_list("kind", flat=True)
    assert sorted(kinds) == ["plan.changed", "subscription.started"]
    assert verification.verify().problems == []


def test_import__out_to_in__carried_over_and_not_allowed(load: Import) -> None:
    result = load(HEAD + "teams,le_chat_pro\n")
    assert (result.code, result.json["written"]) == (0, True)
    setting = PrivacySetting.objects.get(organization__external_id="teams", product="le_chat")
    assert (setting.plan, setting.reason_code, setting.allowed) == ("le_chat_pro", "carried_over", False)


def test_import__restart_that_allows_again__waits_for_approval(load: Import, operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("again", plan="le_chat_free", actor=operator)
    plans.end_subscription(organization=organization, product="le_chat", actor=operator, source="admin")
    result = load(HEAD + "again,le_chat_free\n")
    assert (result.code, result.json["status"], "again" in held()) == (0, "awaiting_approval", False)
    assert approve_and_run(result)["changed"] == 1
    assert held()["again"] == "le_chat_free"
    assert verification.verify().problems == []


def test_import__same_file_again__nothing_written(load: Import) -> None:
    text = HEAD + "new,le_chat_pro\nfree,le_chat_pro\n"
    load(text)
    before = database()
    assert counts(load(text)) == {"unchanged": 2}
    assert database() == before


@pytest.mark.parametrize(
    ("row", "column", "remedy"),
    [
        ("nowhere,le_chat_pro", "organization_external_id", "There is no such organization"),
        ("new,gold", "plan", "The plans: le_chat_free, "),
        ("new,", "plan", "It is empty"),
        ("new", "", "has 1 value"),
    ],
)
def test_import__bad_row__named_and_nothing_written(load: Import, row: str, column: str, remedy: str) -> None:
    before = database()
    result = load(HEAD + f"new,ai_studio_scale\n{row}\n")
    assert result.code == 1
    [told] = result.json["bad_rows"]
    assert told.startswith(f"row 3, column {column}: " if column else "row 3: ") and remedy in told
    assert database() == before
    assert counts(load(HEAD + f"new,ai_studio_scale\n{row}\n", "--skip-bad"))["bad"] == 1
    assert held()["new"] == "ai_studio_scale"


def test_import__two_plans_of_one_product_in_the_file__both_bad(load: Import) -> None:
    result = load(HEAD + "new,le_chat_pro\nnew,le_chat_teams\n")
    assert result.code == 1
    assert [line.partition(",")[0] for line in result.json["bad_rows"]] == ["row 2", "row 3"]
    assert "stands in row 2 already" in result.json["bad_rows"][1]


def since_file(external_id: str, plan: str) -> tuple[str, ...]:
    mapped = [f"--map={name}={name}" for name in ("organization_external_id", "plan", "since")]
    text = f"organization_external_id,plan,since\n{external_id},{plan},2024-01-01T00:00:00Z\n"
    return (text, *mapped, "--reference", "Contract 7")


@pytest.mark.parametrize("external_id", ["free", "new"])
def test_import__since_over_what_the_ledger_denies__bad(load: Import, external_id: str) -> None:
    """Both were known for a moment, or longer, without a subscription: a record of then was denied then."""
    before = database()
    known = load(*since_file(external_id, "le_chat_pro"))
    assert known.code == 1 and "The portal knows what happened here" in known.json["bad_rows"][0]
    assert database() == before


def test_import__since_where_nothing_was_ever_denied__attested(load: Import, import_organizations: Import) -> None:
    made = import_organizations("name,external_id\nSaga,saga\n", "--plan", "le_chat_free")
    assert made.json["created"] == 1
    result = load(*since_file("saga", "le_chat_pro"))
    assert result.json["status"] == "awaiting_approval"
    assert approve_and_run(result)["changed"] == 1
    setting = PrivacySetting.objects.get(organization__external_id="saga", product="le_chat")
    assert (setting.plan, setting.since and setting.since.year) == ("le_chat_pro", 2024)
    assert verification.verify().problems == []


def test_import__denied_between_reading_and_applying__row_refused(
    load: Import, import_organizations: Import, operator: Actor
) -> None:
    import_organizations("name,external_id\nSaga,saga\n", "--plan", "le_chat_free")
    result = load(*since_file("saga", "le_chat_pro"))
    saga = Organization.objects.get(external_id="saga")
    locks.place_lock(
        organization=saga, product="le_chat", reason="law", reference="L-1", actor=operator, source="command"
    )
    locks.lift_lock(organization=saga, product="le_chat", reason="over", actor=operator, source="command")
    since = PrivacySetting.objects.get(organization=saga).since
    assert approve_and_run(result)["changed"] == 0
    setting = PrivacySetting.objects.get(organization=saga)
    assert (setting.plan, setting.since) == ("le_chat_free", since)


def test_import__closed_account__bad(load: Import, operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("closed", actor=operator)
    organizations.close_organization(organization=organization, reason="over", actor=operator, source="admin")
    result = load(HEAD + "closed,le_chat_pro\n")
    assert result.code == 1 and "The account is closed" in result.json["bad_rows"][0]
