"""Events and settings written by one statement for many rows equal those that are written one by one."""

import dataclasses
import uuid
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Organization
from consent import ledger, rules, verification
from consent.ledger import Sql
from consent.models import STATE_FIELDS, ConsentEvent, EventKind, PrivacySetting
from consent.rules import State
from consent.surfaces import LE_CHAT_CONSOLE, Shown
from tests.support.factories import ActorFactory, OrganizationFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Actor:
    return ActorFactory(of_commands=True)


def origin_of(operator: Actor) -> ledger.Origin:
    return ledger.Origin(
        actor=operator, source="admin", by_operator=True, reason="Why", reference="R-1", job_id=uuid.uuid4()
    )


def micros(state: State) -> dict[str, Any]:
    since = ConsentEvent._meta.get_field("since").get_prep_value(state.since)
    return dataclasses.asdict(state) | {"since": since}


def all_but_ids(row: Any) -> dict[str, Any]:
    left_out = ("id", "organization_id")
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} | dict.fromkeys(left_out)


def test_insert_select__the_same_event_as_record__in_every_column(operator: Actor) -> None:
    one, other = OrganizationFactory.with_ids("a", "b", plan="le_chat_free", actor=operator)
    setting = PrivacySetting.objects.get(organization=one)
    kind, surface = EventKind.CHOICE_OPTED_OUT, LE_CHAT_CONSOLE
    at = ledger.clock(setting.changed_at, PrivacySetting.objects.get(organization=other).changed_at)
    after = rules.opt_out(setting.state, at)
    origin = dataclasses.replace(origin_of(operator), shown=Shown(surface.wording, "fr", "4.2"))
    told: dict[str, Any] = {"before": "default", "after": "opted_out", "origin": origin, "at": at}
    event = ledger.event(kind, organization=one, product="le_chat", surface=surface, state=after, **told)
    ledger.record([event])
    inserted = ledger.insert_select(
        Sql("FROM accounts_organization AS o WHERE o.external_id = %s", ["b"]),
        organization="o.id",
        kind=Sql("%s", [kind.value]),
        state=micros(after),
        product="le_chat",
        surface=surface.key,
        **told,
    )
    assert inserted == 1
    by_statement = ConsentEvent.objects.get(organization=other, kind=kind)
    assert all_but_ids(by_statement) == all_but_ids(ConsentEvent.objects.get(pk=event.pk))


def test_insert_select__a_field_of_the_state_not_said__nothing_is_stored(operator: Actor) -> None:
    OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    before = ConsentEvent.objects.count()
    for name in STATE_FIELDS:
        state = {field: value for field, value in micros(State()).items() if field != name}
        with pytest.raises(KeyError, match=name):
            ledger.insert_select(
                Sql("FROM accounts_organization AS o"),
                organization="o.id",
                kind=EventKind.CHOICE_OPTED_OUT,
                state=state,
                product="le_chat",
                origin=origin_of(operator),
                at=ledger.clock(),
            )
    assert ConsentEvent.objects.count() == before


def test_ensure_settings__by_statement__as_the_services_make_them_and_only_where_there_is_none(operator: Actor) -> None:
    [organization] = OrganizationFactory.with_ids("a", plan="le_chat_free", actor=operator)
    there = PrivacySetting.objects.get(product="le_chat")
    everybody = Sql("FROM accounts_organization AS o ORDER BY o.id")
    for product in ("le_chat", "ai_studio", "ai_studio"):
        ledger.ensure_settings(everybody, organization="o.id", product=product)
    made = PrivacySetting.objects.get(product="ai_studio")
    assert all_but_ids(made) == all_but_ids(PrivacySetting(product="ai_studio", organization=organization))
    assert all_but_ids(PrivacySetting.objects.get(product="le_chat")) == all_but_ids(there)
    assert (Organization.objects.count(), verification.verify().problems) == (1, [])


@pytest.mark.django_db(transaction=True)
def test_insert_select__outside_of_a_transaction__refused(operator: Actor) -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        ledger.insert_select(
            Sql("FROM accounts_organization AS o"),
            organization="o.id",
            kind=EventKind.CHOICE_OPTED_OUT,
            state=micros(State()),
            product="le_chat",
            origin=origin_of(operator),
            at=ledger.clock(),
        )
