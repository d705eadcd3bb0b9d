"""Who sees access events, where, and with which texts: history and its export, API, webhooks, operators' site."""

import csv
import io
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from accounts.access import Actor
from consent import ledger
from consent.delivery import endpoints
from consent.models import ABOUT, ACCESS_KINDS, TOLD_TO_ORGANIZATIONS, ConsentEvent, EventKind
from consent.services import trail
from consent.services.exports import Export, note_export
from tests.support.callers import World, assert_problem
from tests.support.cast import Cast
from tests.support.console import opted_out_by_owner, signed_in, url
from tests.support.factories import WebhookEndpointFactory

pytestmark = pytest.mark.django_db


def note(cast: Cast, kind: EventKind, **changes: Any) -> ConsentEvent:
    values = {
        "organization": cast.labs,
        "actor": Actor.from_user(cast.admin, confirmed=True),
        "source": "console",
        **changes,
    }
    with transaction.atomic():
        return trail.note(kind, **values)


def history(cast: Cast, role: str, **query: str) -> str:
    return signed_in(cast, role).get(url(cast, "history"), query).content.decode()


# --- History --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(EventKind.values))
def test_kind__is_about_access_or_about_data__and_can_be_asked_for(cast: Cast, kind: str) -> None:
    assert any(kind in kinds for kinds in ABOUT.values())
    status = 200 if kind in TOLD_TO_ORGANIZATIONS else 400
    assert signed_in(cast, "auditor").get(url(cast, "history"), {"kind": kind}).status_code == status


def test_history__filtered_by_what_it_is_about__in_the_url(cast: Cast) -> None:
    opted_out_by_owner(cast)
    note_export(Export.HISTORY, organization=cast.labs, actor=Actor.from_user(cast.auditor), source="console")
    everything, use, access = (history(cast, "owner", about=about) for about in ("", "use", "access"))
    assert "Opted out</b>" in everything and "Data exported: <b>history</b>" in everything
    assert "Opted out</b>" in use and "Data exported: <b>" not in use and "Organization created" in use
    assert "Opted out</b>" not in access and "Data exported: <b>history</b>" in access and "Member joined" in access
    assert 'value="access" selected' in access
    assert signed_in(cast, "owner").get(url(cast, "history"), {"about": "nonsense"}).status_code == 400


@pytest.mark.parametrize("kind", sorted(ACCESS_KINDS & TOLD_TO_ORGANIZATIONS))
@pytest.mark.parametrize("role", ["owner", "operator"])
def test_history__each_kind__in_words_without_ids_or_codes(cast: Cast, kind: str, role: str) -> None:
    gone = "0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f"
    event = note(cast, EventKind(kind), target=gone, before=str(cast.operator.pk), after=str(cast.admin.pk))
    page = history(cast, role, about="access")
    label = str(EventKind(kind).label).replace("'", "&#x27;")
    assert label in page
    table = page.partition("<tbody>")[2]
    for code in (gone, str(cast.operator.pk), str(cast.admin.pk), event.kind):
        assert code not in table
    assert "Bo Nyström" in table
    assert ("Odin Eriksen" in table) is (role == "operator")


@pytest.mark.parametrize("what", list(Export))
def test_history__each_export__in_words(cast: Cast, what: Export) -> None:
    note_export(what, organization=cast.labs, actor=cast.provider, source="admin")
    table = history(cast, "owner", about="access").partition("<tbody>")[2]
    assert "Data exported: <b>" in table and "_" not in table.partition("</b>")[0].partition("exported: <b>")[2]
    assert "The provider</td>" in table and "Odin" not in table


def test_history__the_providers_own_and_a_persons__told_to_no_organization(cast: Cast) -> None:
    for kind in sorted(ACCESS_KINDS):
        note(cast, EventKind(kind), organization=None, target=cast.owner.pk)
    for role in ("owner", "admin", "auditor"):
        table = history(cast, role, about="access").partition("<tbody>")[2]
        assert not any(str(EventKind(kind).label) in table for kind in ACCESS_KINDS)


def test_overview__tells_of_data__not_of_access(cast: Cast) -> None:
    note_export(Export.HISTORY, organization=cast.labs, actor=Actor.from_user(cast.auditor), source="console")
    assert "Data exported" not in signed_in(cast, "owner").get(url(cast, "overview")).content.decode()


def test_history_export__noted__and_not_in_its_own_file(cast: Cast) -> None:
    client = signed_in(cast, "auditor")
    first, second = (
        list(csv.DictReader(io.StringIO(b"".join(client.get(url(cast, "history") + "csv/")).decode("utf-8-sig"))))  # type: ignore[arg-type]
        for _turn in range(2)
    )
    assert "access.data_exported" not in {row["what"] for row in first}
    assert [row["what"] for row in second if row["what"].startswith("access.")] == ["access.data_exported"]
    assert (second[0]["who"], second[0]["after"]) == ("Cia Holm", "history")


# --- API and webhooks -----------------------------------------------------------------------------------------------


def test_api__access_alone__by_kind_or_all_of_them(world: World) -> None:
    cast = world.cast
    ours = note(cast, EventKind.ACCESS_WEBHOOK_CREATED, target=cast.labs.pk)
    own = note(cast, EventKind.ACCESS_OPERATOR_MADE, organization=None, actor=cast.provider, target=cast.operator.pk)
    found = world.operator_key.get("events/?kind=access.*").json()["results"]
    assert [each["id"] for each in found] == [str(event.pk) for event in ConsentEvent.objects.filter(
        kind__in=ACCESS_KINDS).order_by("pk")]  # fmt: skip
    (made,) = world.operator_key.get("events/?kind=access.operator_made").json()["results"]
    assert (made["id"], made["organization"], made["target"]) == (str(own.pk), None, str(cast.operator.pk))
    assert made["product"] is made["member"] is made["surface"] is made["allowed"] is None
    for caller in (world.key, world.auditor):
        told = caller.get(f"{world.labs}events/?kind=access.webhook_created").json()["results"]
        assert [each["id"] for each in told] == [str(ours.pk)]
        assert caller.get(f"{world.labs}events/?kind=access.operator_made").json()["results"] == []
        assert str(own.pk) not in {each["id"] for each in caller.get(f"{world.labs}events/").json()["results"]}
    assert world.foreign_key.get(f"{world.labs}events/?kind=access.*").status_code == 404
    assert {each["kind"] for each in world.key.get(f"{world.labs}events/?kind=member.*").json()["results"]} == {
        "member.joined"
    }


@pytest.mark.parametrize("kind", ["access", "access.", "*", "access.%", "nonsense.*", "access.*.*"])
def test_api__kind_that_is_none__400(world: World, kind: str) -> None:
    assert_problem(world.operator_key.get(f"events/?kind={kind.replace('%', '%25')}"), 400, "invalid", "?kind")


def test_stream__has_them_too(world: World) -> None:
    own = note(world.cast, EventKind.ACCESS_OPERATOR_MADE, organization=None, actor=world.cast.provider)
    lines = b"".join(world.operator_key.get("events/stream"))  # type: ignore[arg-type]
    assert f'"id": "{own.pk}"' in lines.decode()


@pytest.mark.parametrize("everybody", [True, False])
@pytest.mark.parametrize("kinds", [[], ["access.operator_made", "access.key_created", "choice.opted_out"]])
def test_webhook__sends_access_events_only_where_it_names_them__and_only_ones_own(
    cast: Cast, settings: Any, everybody: bool, kinds: list[str]
) -> None:
    opted_out_by_owner(cast)
    note(cast, EventKind.ACCESS_KEY_CREATED)
    note(cast, EventKind.ACCESS_KEY_CREATED, organization=cast.brage, actor=cast.provider)
    note(cast, EventKind.ACCESS_OPERATOR_MADE, organization=None, actor=cast.provider)
    ledger.sequence()
    endpoint = WebhookEndpointFactory(organization=None if everybody else cast.labs, kinds=kinds, position=0)
    turn = endpoints._Turn(endpoint, sender=None)  # type: ignore[arg-type]
    sent = [(event.kind, event.organization_id) for event in turn._events(ledger.head())]
    access = [each for each in sent if each[0] in ACCESS_KINDS]
    if not kinds:
        assert access == [] and ("choice.opted_out", cast.labs.pk) in sent
    elif everybody:
        assert {kind for kind, _pk in access} == {"access.operator_made", "access.key_created"}
        assert {pk for _kind, pk in access} == {cast.labs.pk, cast.brage.pk, None}
    else:
        assert access == [("access.key_created", cast.labs.pk)]


# --- The operators' site --------------------------------------------------------------------------------------------


def test_admin__ledger_row_and_history__with_and_without_an_organization(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.operator)
    own = note(cast, EventKind.ACCESS_PASSWORD_RESET, organization=None, target=cast.admin.pk)
    note(cast, EventKind.ACCESS_KEY_TAKEN_OVER, before=str(cast.admin.pk), after=str(cast.owner.pk))
    page = client.get("/admin/consent/consentevent/?about=access").content.decode()
    page = page.partition("<tbody>")[2].partition("</tbody>")[0]
    assert "Password reset by a link" in page and "Bo Nyström" in page and "Organization created" not in page
    use = client.get("/admin/consent/consentevent/?about=use").content.decode()
    use = use.partition("<tbody>")[2].partition("</tbody>")[0]
    assert "Organization created" in use and "Password reset" not in use
    assert "<tbody>" not in client.get("/admin/consent/consentevent/?about=nonsense").content.decode()
    assert "Bo Nyström" in client.get(f"/admin/consent/consentevent/{own.pk}/change/").content.decode()
    history = client.get(f"/admin/accounts/organization/{cast.labs.pk}/history/").content.decode()
    assert "API key taken over" in history and "Password reset" not in history
    assert "Bo Nyström → Ada Lindqvist" in page and "Bo Nyström → Ada Lindqvist" in history
