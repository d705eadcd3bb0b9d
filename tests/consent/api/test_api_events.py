"""The ledger through the API."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from consent import ledger
from consent.models import ConsentEvent, EventPosition
from tests.support.callers import Caller, World, assert_problem, by_key

pytestmark = pytest.mark.django_db
OUT = {"choice": "opted_out"}


@pytest.fixture
def chosen(world: World) -> World:
    world.admin.put(f"{world.labs}privacy-settings/le_chat_console/", {**OUT, "reason": "Ours"})
    world.member.put(f"{world.dag}privacy-settings/le_chat_mobile/", OUT)
    return world


def walk(caller: Caller, address: str) -> list[dict[str, object]]:
    events = []
    while address:
        page = caller.get(address).json()
        events += page["results"]
        address = page["next"]
    return events


def test_events__walked__are_gapless_and_in_order(chosen: World) -> None:
    events = walk(chosen.operator_key, "events/?limit=4")
    assert [each["position"] for each in events] == list(range(1, ConsentEvent.objects.count() + 1))
    assert walk(chosen.operator_key, "events/?limit=200&after=5") == events[5:]


def test_events__read__places_what_was_pending(chosen: World) -> None:
    assert EventPosition.objects.count() == 0
    assert len(chosen.operator_key.get("events/").json()["results"]) == EventPosition.objects.count() > 0


def test_events__after_the_last__is_an_empty_page(chosen: World) -> None:
    last = ledger.sequence()
    assert chosen.operator_key.get(f"events/?after={last}").json() == {"results": [], "next": None}


def test_event__shows_what_happened(chosen: World) -> None:
    event = ConsentEvent.objects.get(kind="choice.opted_out", member=None)
    (shown,) = chosen.operator_key.get("events/?kind=choice.opted_out&surface=le_chat_console").json()["results"]
    assert shown == {
        "id": str(event.pk),
        "position": event.placed.position,
        "epoch": 1,
        "recorded_at": shown["recorded_at"],
        "kind": "choice.opted_out",
        "organization": str(chosen.cast.labs.pk),
        "member": None,
        "product": "le_chat",
        "surface": "le_chat_console",
        "before": "default",
        "after": "opted_out",
        "target": None,
        "url": None,
        "allowed": False,
        "actor": {"type": "user", "id": str(chosen.cast.admin.pk), "label": "Bo Nyström"},
        "source": "api",
        "reason": "Ours",
        "request_id": event.request_id,
        "wording": "not_stated",
        "language": None,
        "app_version": None,
    }


def test_event__that_touches_no_layer__says_nothing_of_allowed(world: World) -> None:
    for shown in world.operator_key.get("events/?kind=organization.created").json()["results"]:
        assert (shown["allowed"], shown["product"], shown["member"]) == (None, None, None)


def test_organization_events__leave_members_own_choices_out(chosen: World) -> None:
    for caller in (chosen.owner, chosen.auditor, chosen.key):
        kinds = [each["kind"] for each in walk(caller, f"{chosen.labs}events/?limit=3")]
        assert kinds.count("choice.opted_out") == 1 and kinds.count("member.joined") == 4
        member = chosen.cast.labs_member.pk
        found = walk(caller, f"{chosen.labs}events/?member={member}")
        assert [each["kind"] for each in found] == ["member.joined"]
    seen = walk(chosen.operator_key, f"{chosen.labs}events/?kind=choice.opted_out")
    assert [each["surface"] for each in seen] == ["le_chat_console", "le_chat_mobile"]


def test_organization_events__hold_nothing_of_another(chosen: World) -> None:
    found = {each["organization"] for each in walk(chosen.foreign_key, f"organizations/{chosen.cast.brage.pk}/events/")}
    assert found == {str(chosen.cast.brage.pk)}
    foreign = chosen.cast.labs_member.pk
    assert walk(chosen.foreign_key, f"organizations/{chosen.cast.brage.pk}/events/?member={foreign}") == []


def test_events__filtered(chosen: World) -> None:
    def kinds(query: str) -> list[object]:
        return [each["kind"] for each in walk(chosen.operator_key, f"events/?{query}")]

    assert set(kinds("product=ai_studio")) == {"subscription.started"}
    assert kinds(f"actor={chosen.cast.admin.pk}") == ["choice.opted_out"]
    assert kinds("actor=nobody") == kinds("member=external:nobody") == []
    assert chosen.operator_key.get("events/?member=x").status_code == 400
    assert kinds(f"member={chosen.cast.labs_member.pk}") == ["member.joined", "choice.opted_out"]


def test_events__since_and_until__are_half_open(chosen: World) -> None:
    at = ConsentEvent.objects.get(kind="choice.opted_out", member=None).recorded_at.isoformat().replace("+00:00", "Z")
    late = [each["kind"] for each in walk(chosen.operator_key, f"events/?since={at}")]
    early = [each["kind"] for each in walk(chosen.operator_key, f"events/?until={at}")]
    assert late == ["choice.opted_out"] * 2
    assert len(early) + len(late) == ConsentEvent.objects.count()


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("kind=choice", ["?kind"]),
        ("product=x&surface=y", ["?product", "?surface"]),
        ("since=2026-11-20T10:00:00", ["?since"]),
        ("until=yesterday", ["?until"]),
        ("after=-1", ["?after"]),
        ("after=99999999999999999999", ["?after"]),
        ("limit=1000", ["?limit"]),
        ("cursor=x", ["?cursor"]),
        ("organization=x", ["?organization"]),
        ("member=%00", ["?member"]),
        ("actor=%00", ["?actor"]),
    ],
)
def test_events__bad_parameter__400_naming_it(query: str, pointers: list[str], chosen: World) -> None:
    assert_problem(chosen.operator_key.get(f"events/?{query}"), 400, "invalid", *pointers)
    assert_problem(chosen.key.get(f"{chosen.labs}events/?{query}"), 400, "invalid", *pointers)


def test_events__key_of_one_organization__403(chosen: World) -> None:
    assert_problem(chosen.key.get("events/"), 403, "forbidden")
    assert by_key("events:read").get("events/").status_code == 200


def test_events__queries_do_not_grow_with_the_rows(chosen: World) -> None:
    ledger.sequence()
    counts = []
    for limit in (2, 200):
        with CaptureQueriesContext(connection) as queries:
            chosen.operator_key.get(f"events/?limit={limit}")
        counts.append(len([each for each in queries.captured_queries if 'last_used_at" =' not in each["sql"]]))
    assert counts == [4, 4]  # key, pending, events, people
