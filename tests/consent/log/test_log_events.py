"""What the log holds of an event: every column of it, written as canonical JSON is."""

import datetime as dt
import json
import uuid
from typing import Any

import pytest
import rfc8785

from accounts.fields import to_micros
from consent.log import events, store
from consent.models import ConsentEvent, EventSalt
from consent.proofs import leaf
from tests.support.log import add_events, kept, step


def test_fields__every_column_of_an_event__is_among_them() -> None:
    """A column that no body has could be rewritten, and nobody would notice: give it a place in `events.FIELDS`."""
    columns = {field.column for field in ConsentEvent._meta.local_concrete_fields}
    assert set(events.COLUMNS) == columns
    assert len(events.COLUMNS) == len(columns)
    assert [field.name for field in events.FIELDS] == sorted(field.name for field in events.FIELDS)
    assert max(field.since for field in events.FIELDS) == events.VERSION


ID = uuid.UUID("0190b5d2-7c1e-7a40-9f3e-5a1c2b3d4e5f")


def row(**values: Any) -> tuple[Any, ...]:
    usual: dict[str, Any] = dict.fromkeys(events.COLUMNS, "") | {
        "id": 2**60, "recorded_at": to_micros(dt.datetime(2026, 11, 20, tzinfo=dt.UTC)), "since": None,
        "organization_id": ID, "member_id": None, "job_id": None, "product": None,
        **dict.fromkeys(("allowed", "by_operator", "closed", "locked", "subscribed"), False),
    }  # fmt: skip
    assert set(values) <= set(usual)
    return tuple((usual | values)[column] for column in events.COLUMNS)


VALUES: list[dict[str, Any]] = [
    {},
    {"product": "le_chat", "since": -1, "allowed": True, "member_id": ID.hex, "job_id": ID},
    {"allowed": 1, "locked": 0, "before": 'é\u2028"\\\n\t\x00\x7f😀/', "after": "<script>"},
    {"reason": "Because", "reference": "C-1"},
    {"by_operator": True, "actor_id": str(ID), "reference": "C-1"},
    {"by_operator": True, "actor_id": ""},
    {"by_operator": False, "actor_id": str(ID)},
]


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_body__any_values__canonical_and_says_no_word_or_operator(values: dict[str, Any]) -> None:
    given = row(**values)
    (blinding,) = events.blind([given])
    (text,) = events.bodies(17, [given], [blinding])
    found = json.loads(text)
    assert leaf.body(found) == text == rfc8785.dumps(found).decode()
    assert (found["position"], found["v"], found["id"]) == ("17", "1", str(2**60))
    assert found["organization"] == str(ID)
    assert found["allowed"] is bool(values.get("allowed"))
    for field, salt in (("reason", blinding.words_salt), ("reference", blinding.words_salt)):
        told = values.get(field, "")
        assert found[field] == (leaf.words_digest(salt, field, told) if told else "")
    actor = values.get("actor_id", "")
    if values.get("by_operator") and actor:
        assert found["actor_id"] == leaf.words_digest(blinding.actor_salt, "actor_id", actor)
    else:
        assert found["actor_id"] == actor
        assert blinding.actor_salt == b""
    assert events.fault(given, blinding) == ""
    assert events.entries(17, [given], [blinding]) == [leaf.entry(blinding.salt, text)]


def test_bodies__many__each_as_if_it_were_alone() -> None:
    """They are written column by column: what one event has must not get into another."""
    rows = [row(**values) for values in VALUES] * 2
    blindings = events.blind(rows)
    alone = [events.bodies(5 + n, [rows[n]], [blindings[n]])[0] for n in range(len(rows))]
    assert events.bodies(5, rows, blindings) == alone
    assert len(set(alone)) == len(rows)


def test_blind__many__no_salt_twice() -> None:
    given = row(reason="x", by_operator=True, actor_id="x")
    salts = [salt for each in events.blind([given] * 50) for salt in (each.salt, each.words_salt, each.actor_salt)]
    assert len(set(salts)) == 150
    assert {len(salt) for salt in salts} == {32}


def test_find__as_stored__body_of_what_the_ledger_says(db: None) -> None:
    add_events(7)
    with kept():
        step()
    for position in range(1, 8):
        found = store.find(position)
        event = ConsentEvent.objects.get(placed__position=position)
        assert found is not None
        said = leaf.fields(found.body)
        assert (said["id"], said["target"], said["kind"]) == (str(event.pk), event.target, event.kind)
        assert said["recorded_at"] == str(to_micros(event.recorded_at))
        assert found.entry == leaf.entry(bytes(EventSalt.objects.get(pk=position).salt), found.body)
    assert store.find(8) is None
