"""Access events in the ledger: of no layer, placed and verified like others, and shown to those whom they concern."""

import datetime as dt
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from accounts.access import Actor
from accounts.models import KeyScope
from consent import ledger, verification
from consent.models import (
    INSTALLATION_KINDS,
    OF_NO_LAYER,
    TOLD_TO_ORGANIZATIONS,
    ConsentEvent,
    EventKind,
    EventPosition,
)
from consent.presentation import events
from consent.services import choices, organizations, trail
from consent.surfaces import LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from tests.support.cast import Cast
from tests.support.ledger_guards import behind_the_guards, changes_nothing, sql

STOPPED = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two things happen in one microsecond, and more."""
    monkeypatch.setattr(ledger, "_database_now", lambda: STOPPED)


def noted(cast: Cast, kind: Any = EventKind.ACCESS_KEY_CREATED, **changes: Any) -> ConsentEvent:
    values = {
        "organization": cast.labs,
        "actor": Actor.from_user(cast.admin, confirmed=True),
        "source": "console",
        **changes,
    }
    with transaction.atomic():
        return trail.note(kind, **values)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", sorted(OF_NO_LAYER))
@pytest.mark.parametrize("provider", [False, True])
def test_note__each_kind__is_stored_placed_and_verified(cast: Cast, kind: str, provider: bool) -> None:
    if not provider and kind not in TOLD_TO_ORGANIZATIONS:
        with changes_nothing(), pytest.raises(ValueError, match="no organization's affair"):
            noted(cast, EventKind(kind))
        return
    organization = None if provider else cast.labs
    event = noted(cast, EventKind(kind), organization=organization, target=cast.admin.pk, after="owner")
    ledger.sequence()
    event = ConsentEvent.objects.all().placed().get(pk=event.pk)
    assert event.placed.organization_id == event.organization_id == (None if provider else cast.labs.pk)
    assert (event.product, event.member, event.reason_code, event.target) == (None, None, "", str(cast.admin.pk))
    problems = verification.verify().problems
    # The installation's own acts have rows, which this event is missing.
    assert all(str(event.pk) in each or event.target in each for each in problems)
    assert not problems or kind in INSTALLATION_KINDS


def test_note__in_one_microsecond_with_others__collides_with_nothing_and_pushes_nothing(
    cast: Cast, stopped: None
) -> None:
    for _n in range(3):
        noted(cast)
        noted(cast, organization=None)
    assert set(ConsentEvent.objects.filter(kind__in=OF_NO_LAYER).values_list("recorded_at", flat=True)) == {STOPPED}
    act = {"actor": cast.provider, "source": "admin"}
    organizations.update_organization(organization=cast.labs, country="SE", **act)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=cast.labs, choice="opted_out", **act)
    choices.choose(surface=LE_CHAT_MOBILE, organization=cast.labs, member=cast.labs_member, choice="opted_out", **act)
    last = ConsentEvent.objects.order_by("-pk")[:3]
    assert {event.recorded_at for event in last} == {STOPPED}
    noted(cast)
    ledger.sequence()
    assert verification.verify().problems == []


def test_note__every_scope_of_a_key__fits(cast: Cast) -> None:
    assert noted(cast, after=", ".join(KeyScope.values)).after.startswith("decisions:read, ")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": EventKind.CHOICE_OPTED_OUT},
        {"kind": EventKind.MEMBER_ROLE_CHANGED},
        {"source": "nowhere"},
        {"after": "ada@kvasir.example"},
        {"before": "Ada Lindqvist"},
        {"target": "tck_ABCDEFGH_" + "x" * 43},
        {"target": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        {"after": "0f" * 32},
        {"after": "a" * 201},
        {"target": "a" * 65},
        {"after": "https://receiver.example/hook?token=1"},
    ],
    ids=str,
)
def test_note__not_an_access_event_of_plain_words__refused(cast: Cast, wrong: dict[str, Any]) -> None:
    with changes_nothing(), pytest.raises(ValueError, match=r"of a layer|of no layer|no source"):
        noted(cast, **wrong)


def test_note__outside_a_transaction_of_its_change__refused(transactional_db: None) -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        trail.note(EventKind.ACCESS_DATA_EXPORTED, organization=None, actor=Actor.system(), source="command")
    assert not ConsentEvent.objects.exists()


# --- What the database refuses, whoever writes ---

WRONG_ROWS = {
    "access event of a product": ("access.key_created", "product", "'le_chat'"),
    "access event of the organization's own subject": ("access.key_created", "product", "''"),
    "access event that is allowed": ("access.key_created", "allowed", "TRUE"),
    "access event with a reason code": ("access.key_created", "reason_code", "'locked'"),
    "access event on a surface": ("access.key_created", "surface", "'le_chat_console'"),
    "choice of nobody": ("organization.updated", "organization_id", "NULL"),
    "choice of no subject": ("organization.updated", "product", "NULL"),
    "choice with a target": ("organization.updated", "target", "'x'"),
    "unknown kind": ("access.key_created", "kind", "'access.anything'"),
}


@pytest.mark.parametrize(("kind", "column", "value"), WRONG_ROWS.values(), ids=list(WRONG_ROWS))
def test_row__contradicts_itself__refused_by_the_database(cast: Cast, kind: str, column: str, value: str) -> None:
    noted(cast)
    organizations.update_organization(organization=cast.labs, country="SE", actor=cast.provider, source="admin")
    columns = [f.column for f in ConsentEvent._meta.concrete_fields if f.column != "id"]
    changed = {"recorded_at": "recorded_at + 1000000", column: value}
    picked = ", ".join(changed.get(name, name) for name in columns)
    with changes_nothing(), pytest.raises(IntegrityError), transaction.atomic():
        sql(
            f"INSERT INTO consent_consentevent ({', '.join(columns)}) SELECT {picked} FROM consent_consentevent"
            " WHERE kind = %s ORDER BY id DESC LIMIT 1",
            [kind],
        )


def test_access_event__changed_or_deleted__refused_like_any_other(cast: Cast) -> None:
    event = noted(cast)
    for statement in ("UPDATE consent_consentevent SET target = '' WHERE id = %s",
                      "DELETE FROM consent_consentevent WHERE id = %s"):  # fmt: skip
        with changes_nothing(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            sql(statement, [event.pk])


# --- Verification ---


@pytest.mark.parametrize("told", ["NULL", "other"])
def test_verify__position_of_another_organization__is_named(cast: Cast, told: str) -> None:
    event = noted(cast)
    ledger.sequence()
    place = EventPosition.objects.get(event=event)
    value = None if told == "NULL" else cast.brage._meta.pk.get_db_prep_value(cast.brage.pk, connection)
    with behind_the_guards():
        sql("UPDATE consent_eventposition SET organization_id = %s WHERE position = %s", [value, place.pk])
    assert verification.verify().problems == [f"position {place.pk} is of another organization than its event"]


def test_verify__access_event_that_says_something_of_a_layer__is_named(cast: Cast) -> None:
    event = noted(cast)
    ledger.sequence()
    with behind_the_guards():
        sql("UPDATE consent_consentevent SET choice = 'opted_in' WHERE id = %s", [event.pk])
    assert verification.verify().problems == [f"event {event.pk} is of no layer, and says something of one"]


# --- Who is told ---


def told_to(actor: Actor) -> set[int]:
    return set(ConsentEvent.objects.visible_to(actor).filter(kind__in=OF_NO_LAYER).values_list("pk", flat=True))


def test_access_events__are_told_to_the_organization_they_concern__the_providers_own_to_operators_alone(
    cast: Cast,
) -> None:
    theirs, other = noted(cast).pk, noted(cast, organization=cast.brage, actor=cast.provider, source="admin").pk
    own = noted(cast, EventKind.ACCESS_SECOND_FACTOR_ADDED, organization=None, target=cast.admin.pk).pk
    for person in (cast.owner, cast.admin, cast.auditor):
        assert told_to(Actor.from_user(person, confirmed=True)) == {theirs}
    assert told_to(Actor.from_user(cast.outsider, confirmed=True)) == {other}
    assert told_to(cast.provider) == {theirs, other, own}


@pytest.mark.parametrize(
    ("who", "source", "by_operator"),
    [("admin", "console", False), ("operator", "admin", True), ("operator", "console", True)],
)
def test_feed__tells_who_of_the_organizations_own_people__and_only_that_it_was_the_provider(
    cast: Cast, who: str, source: str, by_operator: bool
) -> None:
    event = noted(cast, actor=Actor.from_user(getattr(cast, who), confirmed=True), source=source)
    ledger.sequence()
    placed = ConsentEvent.objects.all().placed().get(pk=event.pk)
    told = events.serialize_event(placed, "", for_operator=False)
    assert event.by_operator is by_operator
    assert told["actor"]["id"] == (None if by_operator else str(getattr(cast, who).pk))
    assert told["product"] is told["member"] is told["allowed"] is None


def test_feed__event_of_no_organization__says_so(cast: Cast) -> None:
    event = noted(cast, organization=None, actor=cast.provider, source="admin", target=cast.admin.pk)
    ledger.sequence()
    told = events.serialize_event(ConsentEvent.objects.all().placed().get(pk=event.pk), "", for_operator=True)
    assert (told["organization"], told["target"]) == (None, str(cast.admin.pk))
