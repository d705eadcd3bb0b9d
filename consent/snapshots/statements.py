"""The statements that replay the ledger up to a cut: a row for each organization, member and external id.

The state of a layer is in its last event that the cut contains; a subject's ids are in order of its positions. Settings
are not read: between two statements they may already know of events that have no position. Rows come in order of the
key, so that memory does not grow.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..pipeline.manifest import EXTERNAL_IDS, MEMBERS, ORGANIZATIONS, Catalogue
from ..rules import MEMBER_START, State
from .cut import Cut

# In SQLite ids are stored as text of 32 digits; byte order is the database's only order of texts.
_ID = {"sqlite": "{}", "postgresql": "{}::text"}
_BYTE_ORDER = {"sqlite": "", "postgresql": ' COLLATE "C"'}
_KINDS = "'organization.created', 'organization.kind_changed'"
_OF_MEMBERSHIP = "'member.joined', 'member.left', 'since.attested'"


def statements(vendor: str, cut: Cut, catalogue: Catalogue) -> dict[str, str]:
    """Table of the snapshot → its SELECT; the columns are those of the schema, without the ids as text."""
    products = sorted(catalogue)
    return {
        ORGANIZATIONS: _organizations(vendor, cut, products),
        MEMBERS: _members(vendor, cut, [product for product in products if catalogue[product].members]),
        EXTERNAL_IDS: _external_ids(vendor, cut),
    }


class _Subject(NamedTuple):
    """Whose last events are looked for: the column of events that names it, its key, and which events are its own."""

    column: str
    key: str
    own: str
    kinds: str  # of the events that are about the subject itself, and count here

    def about(self, product: str) -> str:
        return f"x.product = '{product}'" if product else f"x.product = '' AND x.kind IN ({self.kinds})"


_ORGANIZATION = _Subject("organization_id", "o.id", "x.member_id IS NULL", _KINDS)
_MEMBER = _Subject("member_id", "m.id", "x.member_id IS NOT NULL", _OF_MEMBERSHIP)


def _looked_up(cut: Cut, subject: _Subject, alias: str, product: str) -> str:
    """A join of the subject's last event about a product, or about itself (''): an index look-up for each subject."""
    return f"""JOIN consent_consentevent AS {alias} ON {alias}.id = (
    SELECT x.id FROM consent_consentevent AS x
    WHERE x.{subject.column} = {subject.key} AND {subject.own} AND {subject.about(product)} AND {cut.contains("x")}
    ORDER BY x.recorded_at DESC LIMIT 1)"""


def _last_events(
    vendor: str, cut: Cut, subject: _Subject, products: Sequence[str]
) -> tuple[str, Callable[[str, str], str]]:
    """What stands before SELECT, and a function that gives the join of a last event by its alias and product.

    PostgreSQL would hash the whole ledger and look up every subject more than once: there all last events are found
    first, in a third of the time. SQLite looks them up, in the order in which they are needed.
    """
    if vendor == "sqlite":
        return "", lambda alias, product: _looked_up(cut, subject, alias, product)
    either = " OR ".join(subject.about(product) for product in ("", *products))
    found = f"""WITH last AS MATERIALIZED (
    SELECT DISTINCT ON (x.{subject.column}, x.product) x.{subject.column} AS subject, x.product, x.kind, x.after,
        x.recorded_at, x.allowed, x.reason_code, x.since
    FROM consent_consentevent AS x WHERE {subject.own} AND ({either}) AND {cut.contains("x")}
    ORDER BY x.{subject.column}, x.product, x.recorded_at DESC)"""
    return (
        found,
        lambda alias, product: (
            f"JOIN last AS {alias} ON {alias}.subject = {subject.key} AND {alias}.product = '{product}'"
        ),
    )


def _layers(products: Sequence[str], start: State) -> str:
    """The columns of the layers of these products; a layer without an event is as at its start."""
    return "".join(
        f", COALESCE(e{n}.allowed, {start.allowed}), COALESCE(e{n}.reason_code, '{start.reason_code}'), e{n}.since"
        for n in range(len(products))
    )


def _organizations(vendor: str, cut: Cut, products: Sequence[str]) -> str:
    first, join = _last_events(vendor, cut, _ORGANIZATION, products)
    layers = " LEFT ".join(["", *(join(f"e{n}", product) for n, product in enumerate(products))])
    id_, member_id = (_ID[vendor].format(column) for column in ("o.id", "m.id"))
    # A personal organization never has another member than its owner (R17).
    return f"""{first}
SELECT {id_}, k.after = 'personal', CASE WHEN k.after = 'personal' THEN (
    SELECT {member_id} FROM accounts_member AS m
    {_looked_up(cut, _MEMBER, "j", "")}
    WHERE m.organization_id = o.id AND j.kind <> 'member.left' LIMIT 1) END, o.created_at{_layers(products, State())}
FROM accounts_organization AS o
{join("k", "")}
{layers}
ORDER BY o.id"""


def _members(vendor: str, cut: Cut, products: Sequence[str]) -> str:
    first, join = _last_events(vendor, cut, _MEMBER, products)
    layers = " LEFT ".join(["", *(join(f"e{n}", product) for n, product in enumerate(products))])
    ids = ", ".join(_ID[vendor].format(column) for column in ("m.id", "m.organization_id"))
    left_at = "CASE WHEN j.kind = 'member.left' THEN j.recorded_at END"
    return f"""{first}
SELECT {ids}, j.since, {left_at}{_layers(products, MEMBER_START)}
FROM accounts_member AS m
{join("j", "")}
{layers}
ORDER BY m.id"""


def _external_ids(vendor: str, cut: Cut) -> str:
    """Those that mean somebody. The events that gave and withdrew it are its subject's of those instants: a subject has
    no two of one instant (R7).
    """
    found = []
    organization, member = (_ID[vendor].format(column) for column in ("b.organization_id", "b.member_id"))
    order = _BYTE_ORDER[vendor]
    for level, subject, kept in (
        ("organization", "x.organization_id = b.organization_id AND x.member_id IS NULL", "b.member_id IS NULL"),
        ("member", "x.member_id = b.member_id", "b.member_id IS NOT NULL"),
    ):
        event = f"SELECT 1 FROM consent_consentevent AS x WHERE {subject} AND {cut.contains('x')}"
        # An attested start counts from its own event on, which follows the one that gave the id.
        found.append(f"""
SELECT b.value{order} AS value, '{level}' AS level, {organization}{order} AS organization, {member},
    CASE WHEN b.since = b.recorded_at OR EXISTS ({event} AND x.kind = 'since.attested' AND x.since = b.since)
        THEN b.since ELSE b.recorded_at END, CAST(NULL AS bigint)
FROM accounts_binding AS b
WHERE {kept} AND b.value > '' AND NOT b.contested
    AND EXISTS ({event} AND x.product = '' AND x.recorded_at = b.recorded_at)
    AND (b.withdrawn_at IS NULL OR NOT EXISTS (
        {event} AND x.product = '' AND x.recorded_at = b.withdrawn_at))""")
    return f"{' UNION ALL '.join(found)}\nORDER BY value, level, organization"
