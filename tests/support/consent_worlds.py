"""Random consent and records about it, whose instants are so few that every boundary is met, and what
`consent.rules.resolve` says about each record."""

import datetime as dt
import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from consent.pipeline.schema import Catalogue
from consent.rules import Layers, Membership, Reason, Standing, resolve

from .snapshots import CATALOGUE, EPOCH, NOON

Row = dict[str, Any]

DAY = 24 * 60 * 60 * 1_000_000
# No instant is a whole millisecond, nor is its neighbour: the filter takes such ones for cut (see `cut_off`).
ANCHORS = [NOON - 10 * DAY + n * DAY + 123_457 + 1_001 * n for n in range(12)]
DECIDED_AT = ANCHORS[10]
DENIALS = ["organization_closed", "no_subscription", "locked", "organization_opted_out", "plan_default", "carried_over"]


@dataclass
class World:
    """`organizations`, `members`, `external_ids`: rows of a snapshot. `records`: `organization` and `member` are UUIDs,
    or None; their external ids are in `organization_name` and `member_name`."""

    catalogue: Catalogue
    organizations: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    external_ids: list[Row] = field(default_factory=list)
    records: list[Row] = field(default_factory=list)
    decided_at: int = DECIDED_AT


def world(seed: int, records: int, *, cooling_off_days: int = 0, cut: bool = False) -> World:
    """A world of this seed. `cut`: some instants of records are whole milliseconds or seconds, close to a leaving."""
    dice = random.Random(seed)  # noqa: S311  a test's dice, the same each time
    catalogue = {name: product._replace(cooling_off_days=cooling_off_days) for name, product in CATALOGUE.items()}
    made = World(catalogue)
    teams = [_organization(made, dice) for _n in range(max(20, records // 60))]
    # One that was created at the very instant of the snapshot, and allows from then on: of use for data of then.
    teams[0][0].update(created_at=DECIDED_AT, ai_studio_allowed=True, ai_studio_since=DECIDED_AT)
    for organization, _own in dice.sample(teams, len(teams) // 20):  # by mistake: an owner who is no member
        organization["owner"] = dice.choice(made.members)["member"]
    _external_ids(made, dice, teams)
    names: dict[tuple[str, uuid.UUID], list[str]] = {}
    for row in made.external_ids:
        names.setdefault((row["level"], row[row["level"]]), []).append(row["external_id"])
    made.records = [_record(made, dice, *dice.choice(teams), names, cut=cut) for _n in range(records)]
    latest = {"member": None, "product": "ai_studio", "data_kind": "related", "collected_at": DECIDED_AT}
    named = names.get(("organization", teams[0][0]["organization"]), ["nobody"])[0]
    first = teams[0][0]["organization"]
    made.records[0] = {**latest, "organization": first, "organization_name": named, "member_name": None}
    return made


def _early(dice: random.Random) -> int:
    return ANCHORS[min(dice.randrange(12) for _n in range(6))]


def _near(dice: random.Random, low: int, high: int = 12) -> int:
    return ANCHORS[dice.randrange(low, high)] + dice.choice((-1, 0, 0, 1))


def _uuid(dice: random.Random) -> uuid.UUID:
    return uuid.UUID(int=dice.getrandbits(128))


def _organization(made: World, dice: random.Random) -> tuple[Row, list[Row]]:
    """A new organization, and its members."""
    key, own = _uuid(dice), []
    row: Row = {"organization": key, "personal": dice.random() < 0.3, "owner": None, "created_at": _early(dice)}
    for place, name in enumerate(made.catalogue):
        denial = DENIALS[(len(made.organizations) + place) % len(DENIALS)]
        row |= _layer(name, dice, 0.8, "organization_opted_in", denial)
    made.organizations.append(row)
    for _n in range(dice.choice((0, 1, 2, 2, 3, 3, 4))):
        member: Row = {"member": _uuid(dice), "organization": key, "joined_at": _early(dice)}
        member["left_at"] = _near(dice, 4) if dice.random() < 0.25 else None
        for name, product in made.catalogue.items():
            if product.members:
                member |= _layer(name, dice, 0.85, "member_opted_in", "member_opted_out", none="default")
        own.append(member)
    made.members += own
    # A personal organization's owner is one of its members; some have none, and a few teams have one by mistake.
    if own and dice.random() < (0.9 if row["personal"] else 0.05):
        row["owner"] = dice.choice(own)["member"]
    return row, own


def _layer(product: str, dice: random.Random, share: float, allows: str, denies: str, none: str = "") -> Row:
    allowed = dice.random() < share
    since = _early(dice) if dice.random() < (0.5 if none else 0.95) else None
    reason = (none if none and since is None else allows) if allowed else denies
    return {f"{product}_allowed": allowed, f"{product}_reason": reason, f"{product}_since": since}


def _external_ids(made: World, dice: random.Random, teams: list[tuple[Row, list[Row]]]) -> None:
    """Names of most; names of members are the same in many organizations, and as names of organizations too."""
    for n, (organization, own) in enumerate(teams):
        for _twice in range(dice.choice((0, *([1, 2] * 8)))):
            _bind(made, dice, f"name-{n}-{len(made.external_ids)}", organization["organization"], None)
        for place, member in enumerate(own):
            if dice.random() < 0.95:
                _bind(made, dice, f"user-{place}", organization["organization"], member["member"])
    for row in dice.sample(made.external_ids, len(made.external_ids) // 4):
        if row["member"] is None:  # a member who is called like an organization: another one, or their own
            foreign = dice.choice(made.members)
            own = [each for each in made.members if each["organization"] == row["organization"]]
            for member in {each["member"]: each for each in (foreign, *own[:1])}.values():
                _bind(made, dice, row["external_id"], member["organization"], member["member"])
    for row in dice.sample(made.external_ids, len(made.external_ids) // 25):
        row["released_at"] = _early(dice)


def _bind(made: World, dice: random.Random, name: str, organization: uuid.UUID, member: uuid.UUID | None) -> None:
    level = "organization" if member is None else "member"
    named = {"external_id": name, "level": level, "organization": organization, "member": member}
    made.external_ids.append({**named, "bound_at": _early(dice), "released_at": None})


def _record(
    made: World,
    dice: random.Random,
    organization: Row,
    own: list[Row],
    names: dict[tuple[str, uuid.UUID], list[str]],
    *,
    cut: bool,
) -> Row:
    chance = dice.random()
    member = None
    if chance < 0.85 and own:
        member = dice.choice(own)
    elif chance > 0.97:
        member = dice.choice(made.members)
    product = dice.choices([*made.catalogue, "sandbox", None], [48, 48, 2, 2])[0]
    kinds = made.catalogue[product].data_kinds if product in made.catalogue else ("conversation",)
    row: Row = {
        "organization": organization["organization"] if dice.random() < 0.97 else _uuid(dice),
        "member": _uuid(dice) if dice.random() < 0.02 else member and member["member"],
        "product": product,
        "data_kind": dice.choice(kinds) if dice.random() < 0.96 else dice.choice(["conversation", "telemetry", None]),
        "collected_at": _near(dice, *dice.choice(((0, 12), (4, 10), (4, 10)))) if dice.random() < 0.97 else None,
    }
    days = made.catalogue["le_chat"].cooling_off_days
    if days and dice.random() < 0.05:
        row["collected_at"] = made.decided_at - days * DAY + dice.choice((-1, 0, 1))
    if cut and member and member["left_at"] and dice.random() < 0.5:
        unit = dice.choice((1_000, 1_000_000))
        row["collected_at"] = member["left_at"] // unit * unit + dice.choice((-unit, 0, unit))
    for level in ("organization", "member"):
        known = names.get((level, row[level]), ["nobody"])
        row[f"{level}_name"] = None if row[level] is None else dice.choice(known)
    return row


# --- What the rules say ---------------------------------------------------------------------------------------------


def instant(micros: int | None) -> dt.datetime | None:
    return None if micros is None else EPOCH + dt.timedelta(microseconds=micros)


class Oracle:
    """What `resolve` says about the records of a world, whose organizations or members may be named by external ids."""

    def __init__(self, made: World, *, organization_external: bool = False, member_external: bool = False) -> None:
        self._world, self._external = made, (organization_external, member_external)
        self._organizations = {row["organization"]: row for row in made.organizations}
        self._members = {row["member"]: row for row in made.members}
        live = [row for row in made.external_ids if row["released_at"] is None]
        self._names = {row["external_id"]: row for row in live if row["member"] is None}
        self._member_names = {(row["organization"], row["external_id"]): row for row in live if row["member"]}

    def reason(self, record: Row) -> str | None:
        """Why the record may not be used; None: it may."""
        decision = resolve(self._layers(record))
        return None if decision.allowed else decision.reason.value

    def _layers(self, record: Row) -> Layers:
        made, product = self._world, self._world.catalogue.get(record["product"] or "")
        organization, bound = self._organization(record)
        meant = organization is not None and organization["personal"] and product is not None and product.members
        member, member_bound = self._member(record, organization, meant=meant)
        named = [since for since in (bound, member_bound) if since is not None]
        collected = record["collected_at"]
        return Layers(
            now=instant(made.decided_at),
            at=instant(made.decided_at),
            collected_at=instant(collected),
            collected_at_needed=True,
            organization_known=organization is not None,
            product_known=product is not None,
            data_kind_known=product is not None and record["data_kind"] in product.data_kinds,
            first_event_at=organization and instant(organization["created_at"]),
            organization=_standing(organization, record["product"])
            if organization and product
            else Standing(False, Reason.LOCKED, None),
            member_asked=record["member"] is not None or meant,
            member_needed=product is not None and product.members,
            membership=member
            and Membership(instant(member["joined_at"]), instant(cut_off(member["left_at"], collected))),
            member=_standing(member, record["product"])
            if member and product and product.members
            else Standing(True, Reason.DEFAULT, None),
            member_told=True,
            named_since=instant(max(named, default=None)),
            cooling_off=dt.timedelta(days=product.cooling_off_days if product else 0),
        )

    def _organization(self, record: Row) -> tuple[Row | None, int | None]:
        if not self._external[0]:
            return self._organizations.get(record["organization"]), None
        name = self._names.get(record["organization_name"])
        return (self._organizations[name["organization"]], name["bound_at"]) if name else (None, None)

    def _member(self, record: Row, organization: Row | None, *, meant: bool) -> tuple[Row | None, int | None]:
        if organization is None:
            return None, None
        bound = None
        if record["member"] is None:
            key = organization["owner"] if meant else None
        elif self._external[1]:
            name = self._member_names.get((organization["organization"], record["member_name"]))
            key, bound = (name["member"], name["bound_at"]) if name else (None, None)
        else:
            key = record["member"]
        found = self._members.get(key)
        if found is None or found["organization"] != organization["organization"]:
            return None, None
        return found, bound


def cut_off(left_at: int | None, collected_at: int | None) -> int | None:
    """When the member has left, for a record whose instant may have been cut: it may be as late as its unit's end."""
    if left_at is None or collected_at is None:
        return left_at
    unit = next((unit for unit in (1_000_000, 1_000) if collected_at % unit == 0), 1)
    return collected_at if collected_at < left_at < collected_at + unit else left_at


def _standing(row: Row, product: str) -> Standing:
    return Standing(row[f"{product}_allowed"], row[f"{product}_reason"], instant(row[f"{product}_since"]))
