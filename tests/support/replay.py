"""The state at a position in plain Python, one event after the other; and as `consent/snapshots/` finds it by SQL."""

import uuid
from typing import Any

from django.db import connection

from accounts.models import Binding
from consent.models import ConsentEvent
from consent.pipeline.schema import schemas
from consent.snapshots.batches import batches
from consent.snapshots.cut import Cut, cut, quiet_instant
from consent.snapshots.statements import statements
from tests.support.snapshots import CATALOGUE

Rows = dict[str, list[dict[str, Any]]]
MEMBERSHIP = {"member.joined", "member.left", "since.attested"}
GIVING = {"organization.created", "organization.updated", "member.joined", "member.updated"}


def micros(instant: Any) -> int | None:
    return None if instant is None else round(instant.timestamp() * 1_000_000)


class Replay:
    """Everything that the events so far say; `see` takes the next one in order of position."""

    def __init__(self) -> None:
        self.organizations: dict[uuid.UUID, dict[str, Any]] = {}
        self.members: dict[uuid.UUID, dict[str, Any]] = {}
        self.bindings: dict[int, dict[str, Any]] = {}

    def see(self, event: ConsentEvent) -> None:
        if event.product:
            self._layer(event)
        elif event.member_id is None and event.kind == "organization.created":
            self.organizations[event.organization_id] = {
                **_keys("organization", event.organization_id),
                "personal": event.after == "personal",
                "created_at": micros(event.recorded_at),
                **{key: value for product in CATALOGUE for key, value in _standing(product).items()},
            }
        elif event.kind == "organization.kind_changed":
            self.organizations[event.organization_id]["personal"] = event.after == "personal"
        elif event.member_id is not None and event.kind in MEMBERSHIP:
            self._membership(event)
        if event.product == "":
            self._external_ids(event)
        elif event.kind == "since.attested":
            self._attested(event)

    def _layer(self, event: ConsentEvent) -> None:
        subject = self.members[event.member_id] if event.member_id else self.organizations[event.organization_id]
        subject |= _standing(str(event.product), event.allowed, event.reason_code, micros(event.since))

    def _membership(self, event: ConsentEvent) -> None:
        new = {
            **_keys("member", event.member_id),
            "organization": event.organization_id,
            **{key: value for name, each in CATALOGUE.items() if each.members for key, value in _member(name).items()},
        }
        member = self.members.setdefault(event.member_id, new)
        member["left_at"] = micros(event.recorded_at) if event.kind == "member.left" else None
        member["joined_at"] = micros(event.since)

    def _external_ids(self, event: ConsentEvent) -> None:
        if event.kind == "external_id.withdrawn":
            del self.bindings[int(event.before)]
        elif event.kind in {"external_id.given", "external_id.rebound"}:
            self._bound(Binding.objects.get(pk=event.after))
        elif event.kind in GIVING:
            given = Binding.objects.filter(organization=event.organization_id, member=event.member_id)
            for each in given.filter(recorded_at=event.recorded_at):
                self._bound(each)
        elif event.kind == "since.attested":
            self._attested(event)

    def _bound(self, binding: Binding) -> None:
        self.bindings.setdefault(
            binding.pk,
            {
                "external_id": binding.value,
                "level": "member" if binding.member_id else "organization",
                "organization": binding.organization_id,
                "member": binding.member_id,
                "bound_at": micros(binding.recorded_at),
                "released_at": None,
            },
        )

    def _attested(self, event: ConsentEvent) -> None:
        for binding in Binding.objects.filter(organization=event.organization_id, member=event.member_id):
            if binding.pk in self.bindings and binding.since == event.since:
                self.bindings[binding.pk]["bound_at"] = micros(binding.since)

    def rows(self) -> Rows:
        """Table → its rows, in the order of a snapshot."""
        there = {member["organization"]: pk for pk, member in self.members.items() if member["left_at"] is None}
        organizations = [
            {**each, "owner": there.get(pk) if each["personal"] else None} for pk, each in self.organizations.items()
        ]
        return {
            "organizations": sorted(organizations, key=lambda row: row["organization_id"]),
            "members": sorted(self.members.values(), key=lambda row: row["member_id"]),
            "external_ids": sorted(
                self.bindings.values(),
                key=lambda row: (row["external_id"].encode(), row["level"], str(row["organization"])),
            ),
        }


def _keys(name: str, pk: Any) -> dict[str, Any]:
    return {name: pk, f"{name}_id": str(pk)}


def _standing(
    product: str, allowed: bool = False, reason: str = "no_subscription", since: Any = None
) -> dict[str, Any]:
    return {f"{product}_allowed": allowed, f"{product}_reason": reason, f"{product}_since": since}


def _member(product: str) -> dict[str, Any]:
    return _standing(product, True, "default")


def replay(position: int) -> Rows:
    """The rows of a snapshot at a position."""
    state = Replay()
    for event in ConsentEvent.objects.placed().filter(placed__position__lte=position):
        state.see(event)
    return state.rows()


def rows_at(found: Cut) -> Rows:
    """The rows of a snapshot at this cut, as they go into the files."""
    columns, selects = schemas(CATALOGUE), statements(connection.vendor, found, CATALOGUE)
    return {
        table: [row for batch in batches(selects[table], columns[table]) for row in batch.to_pylist()]
        for table in columns
    }


def cut_at(position: int | None = None) -> Cut:
    return cut(position, quiet_instant())
