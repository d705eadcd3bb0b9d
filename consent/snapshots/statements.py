"""The statements that replay the ledger up to a cut: a row for each organization, member and external id.

The state of a layer is in its last event that the cut contains; a subject's ids are in order of its positions. Settings
are not read: between two statements they may already know of events that have no position. Each row is found by index
look-ups, in order of the key, so that memory does not grow.
"""

from collections.abc import Sequence

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


def _last(cut: Cut, condition: str) -> str:
    """The id of the last event that meets a condition on `x`."""
    return f"""(
    SELECT x.id FROM consent_consentevent AS x
    WHERE {condition} AND {cut.contains("x")} ORDER BY x.recorded_at DESC LIMIT 1)"""


def _joined(cut: Cut, alias: str, condition: str) -> str:
    return f"JOIN consent_consentevent AS {alias} ON {alias}.id = {_last(cut, condition)}"


def _layers(cut: Cut, own: str, products: Sequence[str], start: State) -> tuple[str, str]:
    """The columns and the joins of the layers of these products; a layer without an event is as at its start."""
    columns = ", ".join(
        f"COALESCE(e{n}.allowed, {start.allowed}), COALESCE(e{n}.reason_code, '{start.reason_code}'), e{n}.since"
        for n in range(len(products))
    )
    joins = [_joined(cut, f"e{n}", f"{own} '{product}'") for n, product in enumerate(products)]
    return columns, "\n".join(f"LEFT {join}" for join in joins)


def _organizations(vendor: str, cut: Cut, products: Sequence[str]) -> str:
    own = "x.organization_id = o.id AND x.member_id IS NULL AND x.product ="
    columns, layers = _layers(cut, own, products, State())
    kind = _joined(cut, "k", f"{own} '' AND x.kind IN ({_KINDS})")
    membership = _joined(cut, "j", f"x.member_id = m.id AND x.product = '' AND x.kind IN ({_OF_MEMBERSHIP})")
    id_, member_id = (_ID[vendor].format(column) for column in ("o.id", "m.id"))
    # A personal organization never has another member than its owner (R17).
    return f"""
SELECT {id_}, k.after = 'personal', CASE WHEN k.after = 'personal' THEN (
    SELECT {member_id} FROM accounts_member AS m
    {membership}
    WHERE m.organization_id = o.id AND j.kind <> 'member.left' LIMIT 1) END, o.created_at, {columns}
FROM accounts_organization AS o
{kind}
{layers}
ORDER BY o.id"""


def _members(vendor: str, cut: Cut, products: Sequence[str]) -> str:
    own = "x.member_id = m.id AND x.product ="
    columns, layers = _layers(cut, own, products, MEMBER_START)
    membership = _joined(cut, "j", f"{own} '' AND x.kind IN ({_OF_MEMBERSHIP})")
    ids = ", ".join(_ID[vendor].format(column) for column in ("m.id", "m.organization_id"))
    more = f", {columns}" if columns else ""
    return f"""
SELECT {ids}, j.since, CASE WHEN j.kind = 'member.left' THEN j.recorded_at END{more}
FROM accounts_member AS m
{membership}
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
