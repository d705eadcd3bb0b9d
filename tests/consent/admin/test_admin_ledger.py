"""The ledger's list: filtered by days, by an organization's name, and by who acted."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from consent import ledger
from consent.models import ConsentEvent
from consent.services import choices
from consent.surfaces import AI_STUDIO_CONSOLE
from tests.support.cast import Cast
from tests.support.factories import OrganizationFactory
from tests.support.keys import issue_key
from tests.support.operators_site import url

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(cast: Cast, client: Client) -> Client:
    client.force_login(cast.operator)
    return client


def listed(operator: Client, **query: str) -> tuple[set[int], str]:
    page = operator.get(url("consent_consentevent_changelist"), query)
    assert page.status_code == 200
    return {each.pk for each in page.context["cl"].result_list}, page.content.decode()


def keys(**conditions: Any) -> set[int]:
    return set(ConsentEvent.objects.filter(**conditions).values_list("pk", flat=True))


def event_at(cast: Cast, at: dt.datetime) -> int:
    event = ConsentEvent(
        recorded_at=at, organization=cast.labs, kind="organization.updated", actor_type="system", source="admin"
    )  # fmt: skip
    event.save()
    return int(event.pk)


def test_ledger__by_days__both_included_in_the_readers_zone(cast: Cast, operator: Client) -> None:
    now = dt.datetime(2030, 5, 17, 23, 30, tzinfo=dt.UTC)
    before = keys()
    first, second, third, fourth = (event_at(cast, now + dt.timedelta(days=days)) for days in range(4))
    assert listed(operator, since="2030-05-18", until="2030-05-19")[0] == {second, third}
    assert listed(operator, since="2030-05-20")[0] == {fourth}
    assert listed(operator, until="2030-05-17")[0] == before | {first}
    assert listed(operator, since="2031-01-01")[0] == set() == listed(operator, until="1999-12-31")[0]
    cast.operator.time_zone = "Europe/Paris"  # where it is the 18th already
    cast.operator.save(update_fields=["time_zone"])
    assert listed(operator, since="2030-05-18", until="2030-05-18")[0] == {first}


def test_events__of_transactions_that_ran_beside_each_other__none_left_out(cast: Cast) -> None:
    at = dt.datetime(2030, 5, 17, 12, tzinfo=dt.UTC)
    for minutes in (0, 20, 10, 30, 15):
        event_at(cast, at + dt.timedelta(minutes=minutes))
    since = at + dt.timedelta(minutes=12)
    wanted = keys(recorded_at__gte=since)
    assert len(wanted) == 3 and set(ConsentEvent.objects.since(since).values_list("pk", flat=True)) == wanted
    assert set(ConsentEvent.objects.before(since).values_list("pk", flat=True)) == keys() - wanted


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "0001-01-01", "9999-12-31", "<b>"])
def test_ledger__by_no_day__says_so_and_shows_none(cast: Cast, operator: Client, value: str) -> None:
    found, page = listed(operator, since=value)
    assert found == set() and "is not a day." in page and "<b>”" not in page


@pytest.mark.parametrize("text", ["kvasir labs", "labs", "id", "external"])
def test_ledger__by_an_organization__its_events(cast: Cast, operator: Client, text: str) -> None:
    from consent.projections import runner

    ledger.sequence()
    runner.catch_up("words")
    asked = {"id": str(cast.labs.pk), "external": cast.labs.external_id or "kvasir"}.get(text, text)
    found, page = listed(operator, of=asked)
    assert found == keys(organization=cast.labs) and "<b>Kvasir Labs</b>" in page


def test_ledger__by_an_organization_that_is_not__says_what_was_looked_for(cast: Cast, operator: Client) -> None:
    found, page = listed(operator, of="nidhögg")
    assert found == set() and "No organization is called “nidhögg”, or has it as id." in page


def test_ledger__by_who_acted__person_operator_or_key(cast: Cast, operator: Client) -> None:
    from accounts.access import Actor

    owner = Actor.from_user(cast.owner, confirmed=True)
    choices.choose(surface=AI_STUDIO_CONSOLE, organization=cast.labs, choice="opted_out", actor=owner, source="console")
    own = keys(actor_id=str(cast.owner.pk))
    assert own
    for text in (cast.owner.email, cast.owner.email[:4], str(cast.owner.pk)):
        assert listed(operator, who=text)[0] == own
    assert listed(operator, who="eriksen ODIN")[0] == keys(actor_id=str(cast.operator.pk))
    found, page = listed(operator, who="nidhögg")
    assert found == set() and "Nobody has “nidhögg” as address or id" in page
    assert listed(operator, who=cast.owner.email, of=str(cast.brage.pk))[0] == set()
    issue_key("Pipeline sync", ["consent:read"])
    assert "Pipeline sync" in listed(operator, who="pipeline")[1]


def test_ledger__by_a_word_of_too_many__asks_for_more(
    cast: Cast, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consent.admin import ledger_filters

    monkeypatch.setattr(ledger_filters, "_MOST", 1)
    OrganizationFactory.create_batch(2, name="Skald & Co", actor=cast.provider)
    found, page = listed(operator, of="skald")
    assert found == set() and "More than 1 match “skald”: write more of it." in page
