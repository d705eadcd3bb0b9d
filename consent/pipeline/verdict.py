"""The verdict on records as SQL: one text, for every engine, that says what `consent.rules.resolve` says.

It reads four relations, which each engine provides under these names:

- `records`: `organization` and `member` (as `Keys` says, or NULL), `product`, `data_kind`, and `collected_at` in whole
  microseconds since 1970 UTC, or NULL;
- `organizations`, `members`, `external_ids`: the tables of a snapshot. Where records name members by text,
  `organizations` also has `owner_id`: the owner as text.

Engines have to agree in one thing: `greatest` passes over NULL, as in DuckDB and Spark, and not as in MySQL.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from ..rules import Reason
from .schema import Catalogue, Product

DAY = 24 * 60 * 60 * 1_000_000  # in microseconds
# Microseconds between this instant and the last that is written the same way, if it was cut to seconds or milliseconds.
_CUT = "CASE WHEN r.collected_at % 1000000 = 0 THEN 999999 WHEN r.collected_at % 1000 = 0 THEN 999 ELSE 0 END"


class Key(StrEnum):
    """How a column of records names organizations or members: a join by the type that is there is the fastest."""

    UUID = "uuid"  # the type UUID
    TEXT = "text"  # a UUID as text, in lower case with hyphens
    EXTERNAL = "external"  # the provider's own id, as text


class Keys(NamedTuple):
    organization: Key = Key.UUID
    member: Key = Key.UUID


# --- FROM -----------------------------------------------------------------------------------------------------------


def source(catalogue: Catalogue, keys: Keys) -> str:
    """What follows FROM: each record exactly once, as `r`, beside what it names, which is NULL where there is nothing.

    `o` is the organization, `m` its member who is named or meant; `xo` and `xm` are the external ids they are named by.
    """
    joins = ["records AS r"]
    if keys.organization is Key.EXTERNAL:
        joins.append(_external("xo", "organization", "xo.external_id = r.organization"))
        joins.append("organizations AS o ON o.organization = xo.organization")
    elif keys.organization is Key.TEXT:
        joins.append("organizations AS o ON o.organization_id = r.organization")
    else:
        joins.append("organizations AS o ON o.organization = r.organization")
    if keys.member is Key.EXTERNAL:
        named = "xm.organization = o.organization AND xm.external_id = r.member"
        joins.append(_external("xm", "member", named))
    joins.append(f"members AS m ON m.organization = o.organization AND {_member(catalogue, keys)}")
    return "\nLEFT JOIN ".join(joins)


def _external(alias: str, level: str, named: str) -> str:
    # An id that was withdrawn means nobody (R16).
    return f"external_ids AS {alias} ON {alias}.level = '{level}' AND {alias}.released_at IS NULL AND {named}"


def _member(catalogue: Catalogue, keys: Keys) -> str:
    """The condition that finds the member: the one named, else, where members choose, the owner (R8)."""
    owner = "o.owner_id" if keys.member is Key.TEXT else "o.owner"
    meant = f"CASE WHEN {_chosen_by_members(catalogue)} THEN {owner} END"
    if keys.member is Key.EXTERNAL:
        return f"m.member = CASE WHEN r.member IS NULL THEN {meant} ELSE xm.member END"
    column = "m.member_id" if keys.member is Key.TEXT else "m.member"
    return f"{column} = coalesce(r.member, {meant})"


# --- CASE -----------------------------------------------------------------------------------------------------------


def in_words(reason: str) -> str:
    """A reason as its own text."""
    return f"'{reason}'"


def reason(catalogue: Catalogue, keys: Keys, decided_at: int, spelled: Callable[[str], str] = in_words) -> str:
    """A CASE: why a record may not be used; NULL: it may. Reasons are in their order; the first that applies is told.

    `decided_at`: the snapshot's instant, in microseconds. `spelled`: how a reason is written, as the columns
    `P_reason` of `organizations` have it.
    """
    needed = _chosen_by_members(catalogue)
    product = _in("coalesce(r.product, '')", catalogue)
    kinds = _per_product(catalogue, lambda _name, each: _in("r.data_kind", each.data_kinds))
    denials = [
        ("o.organization IS NULL", Reason.UNKNOWN_ORGANIZATION),
        (f"NOT {product}", Reason.UNKNOWN_PRODUCT),
        (f"NOT coalesce({kinds}, FALSE)", Reason.UNKNOWN_DATA_KIND),
        ("r.collected_at IS NULL", Reason.COLLECTED_AT_MISSING),
        (f"r.collected_at > {decided_at} OR o.created_at > {decided_at}", Reason.NOT_YET_KNOWN),
        (f"{needed} AND r.member IS NULL AND NOT o.personal", Reason.MEMBER_REQUIRED),
        (f"m.member IS NULL AND (r.member IS NOT NULL OR {needed})", Reason.UNKNOWN_MEMBER),
        *_layers(catalogue, keys, spelled),
        *_cooling_off(catalogue, decided_at),
    ]
    said = [(condition, spelled(why) if isinstance(why, Reason) else why) for condition, why in denials]
    told = "\n".join(f"WHEN {condition} THEN {why}" for condition, why in said)
    return f"CASE\n{told}\nEND"


def _layers(catalogue: Catalogue, keys: Keys, spelled: Callable[[str], str]) -> list[tuple[str, Reason | str]]:
    """What the organization's and the member's layer deny, and what was collected before all of them allowed it."""
    allowed = _per_product(catalogue, lambda name, _product: f"o.{name}_allowed")
    why = _per_product(catalogue, lambda name, _product: f"o.{name}_reason")
    since = _per_product(catalogue, lambda name, _product: f"o.{name}_since")
    choosing = {name: product for name, product in catalogue.items() if product.members}
    # A reason that is NULL would say that the record may be used.
    denials: list[tuple[str, Reason | str]] = [
        (f"NOT {allowed}", f"coalesce({why}, {spelled(Reason.NO_SUBSCRIPTION)})")
    ]
    starts = [since, "m.joined_at"]
    if choosing:
        own = _per_product(choosing, lambda name, _product: f"m.{name}_allowed")
        denials.append((f"NOT {own}", Reason.MEMBER_OPTED_OUT))
        starts.append(_per_product(choosing, lambda name, _product: f"m.{name}_since"))
    starts += [f"{alias}.bound_at" for alias, key in zip(("xo", "xm"), keys, strict=True) if key is Key.EXTERNAL]
    return [
        *denials,
        (f"r.collected_at + {_CUT} >= m.left_at", Reason.MEMBER_LEFT),
        # Whatever is NULL here has no start, so nothing was collected after it.
        (f"{since} IS NULL OR r.collected_at < greatest({', '.join(starts)})", Reason.COLLECTED_BEFORE_ALLOWED),
    ]


def _cooling_off(catalogue: Catalogue, decided_at: int) -> list[tuple[str, Reason | str]]:
    waiting = {name: product for name, product in catalogue.items() if product.cooling_off_days}
    if not waiting:
        return []
    new = _per_product(waiting, lambda _name, each: f"r.collected_at > {decided_at - each.cooling_off_days * DAY}")
    return [(new, Reason.COOLING_OFF)]


def _per_product(catalogue: Catalogue, expression: Callable[[str, Product], str]) -> str:
    """The expression of the record's product; NULL for the others."""
    cases = " ".join(f"WHEN '{name}' THEN {expression(name, product)}" for name, product in catalogue.items())
    return f"CASE r.product {cases} END"


def _chosen_by_members(catalogue: Catalogue) -> str:
    return _in("r.product", [name for name, product in catalogue.items() if product.members])


def _in(value: str, words: Iterable[str]) -> str:
    """Whether the value is one of the words, which are the catalogue's; a quote in one is doubled all the same."""
    listed = ", ".join("'{}'".format(word.replace("'", "''")) for word in words)
    return f"{value} IN ({listed})" if listed else "FALSE"
