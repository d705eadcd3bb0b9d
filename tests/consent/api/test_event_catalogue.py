"""The catalogue of events: every kind is in it, with an example equal to what a webhook sends."""

import json
from pathlib import Path
from typing import Any

import pytest

from accounts.access import Actor
from accounts.models import Member
from consent import ledger
from consent.models import OF_NO_LAYER, TOLD_TO_ORGANIZATIONS, ConsentEvent, EventKind, Source
from consent.presentation import event_catalogue, events
from consent.services import choices, locks, members, organizations, plans, webhooks
from consent.services.exports import Export, note_export
from consent.surfaces import LE_CHAT_CONSOLE
from tests.support.callers import World
from tests.support.cast import Cast

pytestmark = pytest.mark.django_db
KINDS = {each["kind"]: each for each in event_catalogue.catalogue()}
FIELDS = ("member", "product", "surface", "before", "after", "target", "allowed")
# An external id may be a member's, and the first or not; somebody who pauses says no why.
SOMETIMES = {"external_id.given": {"before", "member", "allowed"}, "access.webhook_paused": {"after"}}
PAGE = (Path(__file__).parents[3] / "docs" / "events.md").read_text(encoding="utf-8")


def everyday(cast: Cast) -> None:
    """What happens to an account in a year, in short."""
    labs, by = cast.labs, {"actor": cast.provider, "source": "admin"}
    owner: dict[str, Any] = {"actor": Actor.from_user(cast.owner, confirmed=True), "source": "console"}
    organizations.update_organization(organization=labs, name="Kvasir", country="SE", external_id="kvasir-2", **by)
    plans.subscribe(organization=labs, plan=plans.get_plan("le_chat_pro"), **by)
    plans.subscribe(organization=labs, plan=plans.get_plan("le_chat_teams"), reason="Upgraded", **by)
    choices.choose(surface=LE_CHAT_CONSOLE, organization=labs, choice="opted_out", **owner)
    locks.place_lock(organization=labs, product="le_chat", reason="Contract", reference="C-1", **by)
    locks.lift_lock(organization=labs, product="le_chat", reason="Over", **by)
    member = Member.objects.get(organization=labs, user=cast.member)
    members.update_member(member=member, role="auditor", **by)
    members.remove_member(member=member, **by)
    plans.end_subscription(organization=labs, product="le_chat", reason="Over", **by)
    organizations.close_organization(organization=labs, reason="Cancelled", **by)
    organizations.reopen_organization(organization=labs, reason="Came back", **by)
    hook = webhooks.create_endpoint(organization=labs, url="https://hooks.example/", **by)
    webhooks.update_endpoint(endpoint=hook, url="https://other.example/", **by)
    webhooks.update_endpoint(endpoint=hook, status="paused", **by)
    note_export(Export.JOB_ROWS, organization=labs, target=hook.pk, **by)


def test_catalogue__every_kind_in_its_order__once() -> None:
    assert list(event_catalogue.ENTRIES) == list(EventKind)
    assert {each["kind"] for each in KINDS.values() if each["operators_only"]} == (
        set(EventKind) - TOLD_TO_ORGANIZATIONS
    )


def test_examples__against_what_happened__the_same_fields_filled(cast: Cast) -> None:
    everyday(cast)
    ledger.sequence()
    seen = set()
    for event in ConsentEvent.objects.all().placed():
        sent = events.payload(events.serialize_event(event, "Ada", for_operator=True))
        shown = KINDS[event.kind]["example"]
        assert list(sent) == list(shown), event.kind
        differ = {name for name in FIELDS if (sent[name] is None) is not (shown[name] is None)}
        assert differ <= SOMETIMES.get(event.kind, set()), event.kind
        seen.add(event.kind)
    assert len(seen) >= 18, seen


@pytest.mark.parametrize("kind", KINDS)
def test_example__of_each_kind__is_told_to_nobody_wrong_and_of_known_values(kind: str) -> None:
    shown = KINDS[kind]["example"]
    assert shown["type"] == shown["kind"] == kind and shown["timestamp"] == shown["recorded_at"]
    assert shown["source"] in Source.values and set(shown["actor"]) == {"type", "id", "label"}
    assert (shown["organization"] is None) is KINDS[kind]["operators_only"]
    if kind in OF_NO_LAYER:
        assert shown["product"] is shown["allowed"] is shown["surface"] is None
    for name in ("before", "after", "target"):
        assert (shown[name] is None) is (KINDS[kind][name] is None)
    json.dumps(shown)


def test_api__event_kinds__all_of_them_with_examples(world: World) -> None:
    answer = world.key.get("event-kinds/?limit=200").json()
    assert answer == {"results": json.loads(json.dumps(list(KINDS.values()))), "next": None}


def test_page__has_every_kind_as_the_catalogue_says() -> None:
    rows = [
        f"| `{each['kind']}` | {each['label']} | {each['before'] or '–'} | {each['after'] or '–'} |"
        f" {each['target'] or '–'} | {'operators' if each['operators_only'] else 'both'} |"
        for each in KINDS.values()
    ]
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == rows
    (block,) = [part.split("```")[0] for part in PAGE.split("```json\n")[1:]]
    assert json.loads(block) == KINDS["choice.opted_out"]["example"]
