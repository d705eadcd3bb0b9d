"""The statements behind `lookups.fetch`: index look-ups only, whatever the number of questions and of organizations.

PostgreSQL takes many questions as one array per column, SQLite as one JSON array; the rest of the text is the same.
Each join finds one row at most. On PostgreSQL it is LATERAL with LIMIT 1, so that the planner looks it up for each
question and never hashes a whole table.
"""

from accounts.authentication import KEYS, key_columns
from accounts.catalogue import Product

# Column of a question → its PostgreSQL type; `lookups.asked_of` gives the values in this order.
COLUMNS = {
    "n": "int",
    "organization_id": "uuid",
    "organization_external": "text",
    "member_id": "uuid",
    "member_external": "text",
    "owner_meant": "bool",
    "product": "text",
    "at": "bigint",
}
# A single question may come with the prefix of an API key, which is looked up in the same statement.
_ONE_COLUMNS = {**COLUMNS, "prefix": "text"}
_ONE = {
    "sqlite": f"(SELECT {', '.join(f'%s AS {name}' for name in _ONE_COLUMNS)}) AS q",
    "postgresql": f"(SELECT {', '.join(f'%s::{kind} AS {name}' for name, kind in _ONE_COLUMNS.items())}) AS q",
}
_FROM_JSON = ", ".join(f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(COLUMNS))
# Ids are passed as text and cast in SQL, because adapting each UUID in Python takes longer.
_ARRAYS = ", ".join(f"%s::text[]::{kind}[]" if kind == "uuid" else f"%s::{kind}[]" for kind in COLUMNS.values())
_MANY = {
    "sqlite": f"(SELECT {_FROM_JSON} FROM json_each(%s)) AS q",
    "postgresql": f"unnest({_ARRAYS}) AS q({', '.join(COLUMNS)})",
}
_NOW = {"sqlite": "NULL", "postgresql": "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"}

# How many days data of the product has to be old before it is used: by the last change, or the last one before `q.at`.
# For many questions each product's days now are a look-up that depends on no question, so it is done once for all.
_DAYS = """(
    SELECT x.days FROM consent_coolingoff AS x WHERE x.product = {product}{then} ORDER BY x.since DESC LIMIT 1)"""
_DAYS_OF_ONE = _DAYS.format(product="q.product", then="")
_DAYS_THEN = _DAYS.format(product="q.product", then=" AND x.since <= q.at")
_DAYS_THEN_OF_ONE = _DAYS.format(product="q.product", then=" AND x.since <= COALESCE(q.at, 9223372036854775807)")
_DAYS_NOW = "".join(
    f" WHEN '{product}' THEN {_DAYS.format(product=repr(product), then='')}" for product in Product.values
).join(("CASE q.product", " END"))

# (whether it is one question, whether any names an instant) → expression
_DAYS_OF = {
    (True, False): _DAYS_OF_ONE,
    (True, True): _DAYS_THEN_OF_ONE,
    (False, False): _DAYS_NOW,
    (False, True): f"CASE WHEN q.at IS NULL THEN {_DAYS_NOW} ELSE {_DAYS_THEN} END",
}

Join = tuple[str, str, str]  # table, alias, condition

# Which binding of an external id is live, or was at `q.at`: at most one (R16). 9223372036854775807 is the last instant.
_LIVE = "{0}.withdrawn_at IS NULL"
_LIVE_THEN = """{0}.recorded_at <= COALESCE(q.at, 9223372036854775807)
    AND ({0}.withdrawn_at IS NULL OR {0}.withdrawn_at > q.at)"""


def _bindings(live: str) -> tuple[Join, Join, Join]:
    """Joins: the binding of the organization's external id, the organization, the binding of the member's within it."""
    return (
        (
            "accounts_binding",
            "ob",
            f"ob.value = q.organization_external AND ob.value > '' AND ob.member_id IS NULL AND {live.format('ob')}",
        ),
        ("accounts_organization", "o", "o.id = COALESCE(q.organization_id, ob.organization_id)"),
        (
            "accounts_binding",
            "mb",
            f"""mb.value = q.member_external AND mb.organization_id = o.id AND mb.value > ''
    AND mb.member_id IS NOT NULL AND {live.format("mb")}""",
        ),
    )


# For a single question also the event that gave each external id. The instant identifies it: a subject has no two
# events of one instant (R7).
_GIVEN = """(
    SELECT x.id FROM consent_consentevent AS x
    WHERE {subject} AND x.product = '' AND x.recorded_at = {binding}.recorded_at)"""
_GIVEN_BY = [
    _GIVEN.format(subject="x.organization_id = ob.organization_id AND x.member_id IS NULL", binding="ob"),
    _GIVEN.format(subject="x.member_id = mb.member_id", binding="mb"),
]
_OWNER_NOW = """(
    SELECT x.id FROM accounts_member AS x
    WHERE q.owner_meant AND q.at IS NULL AND o.kind = 'personal' AND x.organization_id = o.id
      AND x.role = 'owner' AND x.status = 'active' LIMIT 1)"""

# Decides who may know what the member chose (R4). The kind alone is not enough: it may have been a team before.
_ALONE = "o.kind = 'personal' AND NOT o.had_others"

# --- Now: from the settings ---

_CURRENT = f"""
SELECT q.n, {{now}}, o.id, o.name, o.status = 'closed', o.created_at, {_ALONE}, {{days}},
    s.allowed, s.reason_code, s.since, s.last_event_id, c.recorded_at,
    q.owner_meant AND o.kind = 'personal', m.id, m.user_id, m.joined_at, m.left_at,
    ms.allowed, ms.reason_code, ms.since, ms.last_event_id,
    {{bindings}}"""
_CURRENT_JOINS: list[Join] = [
    *_bindings(_LIVE),
    ("consent_privacysetting", "s", "s.organization_id = o.id AND s.product = q.product AND s.member_id IS NULL"),
    ("consent_consentevent", "c", "c.id = s.choice_event_id"),
    ("accounts_member", "m", f"m.organization_id = o.id AND m.id = COALESCE(q.member_id, mb.member_id, {_OWNER_NOW})"),
    ("consent_privacysetting", "ms", "ms.member_id = m.id AND ms.product = q.product"),
]

# --- At an instant: from each layer's last event at or before it; for questions without one, from the settings ---


def _last_event(alias: str, condition: str) -> Join:
    found = f"""{alias}.id = (
    SELECT x.id FROM consent_consentevent AS x
    WHERE {condition} AND x.recorded_at <= q.at ORDER BY x.recorded_at DESC LIMIT 1)"""
    return "consent_consentevent", alias, found


_OF_MEMBERSHIP = "'member.joined', 'member.left', 'since.attested'"
# The organization's kind at the instant. If it was personal and no member is named, its only member then is meant.
_KIND = """CASE WHEN q.at IS NULL THEN o.kind ELSE (
    SELECT x.after FROM consent_consentevent AS x
    WHERE x.organization_id = o.id AND x.product = '' AND x.member_id IS NULL
      AND x.kind IN ('organization.created', 'organization.kind_changed') AND x.recorded_at <= q.at
    ORDER BY x.recorded_at DESC LIMIT 1) END"""
# The columns of _CURRENT. Each COALESCE has at most one value: `s` is joined without an instant, `e` with one.
_AS_OF = f"""
SELECT q.n, {{now}}, o.id, o.name, o.status = 'closed' AND q.at IS NULL, o.created_at, {_ALONE}, {{days}},
    COALESCE(s.allowed, e.allowed), COALESCE(s.reason_code, e.reason_code), COALESCE(s.since, e.since),
    COALESCE(s.last_event_id, e.id), c.recorded_at, q.owner_meant AND {_KIND} = 'personal',
    m.id, m.user_id, CASE WHEN q.at IS NULL THEN m.joined_at ELSE j.since END,
    CASE WHEN q.at IS NULL THEN m.left_at WHEN j.kind = 'member.left' THEN j.recorded_at END,
    COALESCE(ms.allowed, me.allowed), COALESCE(ms.reason_code, me.reason_code), COALESCE(ms.since, me.since),
    COALESCE(ms.last_event_id, me.id),
    {{bindings}}"""
_AS_OF_JOINS: list[Join] = [
    *_bindings(_LIVE_THEN),
    (
        "consent_privacysetting",
        "s",
        "s.organization_id = o.id AND s.product = q.product AND s.member_id IS NULL AND q.at IS NULL",
    ),
    _last_event("e", "x.organization_id = o.id AND x.product = q.product AND x.member_id IS NULL"),
    (
        "consent_consentevent",
        "c",
        """c.id = COALESCE(s.choice_event_id, (
    SELECT x.id FROM consent_consentevent AS x
    WHERE x.organization_id = o.id AND x.product = q.product AND x.member_id IS NULL AND x.kind LIKE 'choice.%%'
      AND x.recorded_at <= q.at ORDER BY x.recorded_at DESC LIMIT 1))""",
    ),
    (
        "accounts_member",
        "m",
        f"""m.organization_id = o.id AND m.id = COALESCE(q.member_id, mb.member_id, {_OWNER_NOW}, (
    SELECT x.member_id FROM consent_consentevent AS x
    WHERE q.owner_meant AND {_KIND} = 'personal' AND x.organization_id = o.id AND x.kind = 'member.joined'
      AND x.recorded_at <= q.at AND NOT EXISTS (
        SELECT 1 FROM consent_consentevent AS y
        WHERE y.member_id = x.member_id AND y.product = '' AND y.kind = 'member.left'
          AND y.recorded_at > x.recorded_at AND y.recorded_at <= q.at)
    ORDER BY x.id DESC LIMIT 1))""",
    ),
    _last_event("j", f"x.member_id = m.id AND x.product = '' AND x.kind IN ({_OF_MEMBERSHIP})"),
    ("consent_privacysetting", "ms", "ms.member_id = m.id AND ms.product = q.product AND q.at IS NULL"),
    _last_event("me", "x.member_id = m.id AND x.product = q.product AND x.product <> ''"),
]


def _joined(vendor: str, joins: list[Join]) -> str:
    if vendor == "sqlite":
        return "\n".join(f"LEFT JOIN {table} AS {alias} ON {found}" for table, alias, found in joins)
    return "\n".join(
        f"LEFT JOIN LATERAL (SELECT * FROM {table} AS {alias} WHERE {found} LIMIT 1) AS {alias} ON TRUE"
        for table, alias, found in joins
    )


def _statement(vendor: str, one: bool, as_of: bool) -> str:
    select, joins = (_AS_OF, _AS_OF_JOINS) if as_of else (_CURRENT, _CURRENT_JOINS)
    organization, member = _GIVEN_BY if one else ["NULL", "NULL"]
    bindings = f"ob.since, {organization}, mb.since, {member}"
    select = select.format(now=_NOW[vendor], bindings=bindings, days=_DAYS_OF[one, as_of])
    if not one:
        return f"{select}\nFROM {_MANY[vendor]}\n{_joined(vendor, joins)}\nORDER BY q.n"
    key = ", ".join(key_columns())
    joins = [*joins, (KEYS, "k", "k.prefix = q.prefix")]
    # For a single question plain joins are as fast and cheaper to plan, so PostgreSQL gets SQLite's joins.
    return f"{select}, {key}\nFROM {_ONE[vendor]}\n{_joined('sqlite', joins)}"


# (vendor, whether it is one question, whether any names an instant) → statement
STATEMENTS = {
    (vendor, one, as_of): _statement(vendor, one, as_of)
    for vendor in _NOW
    for one in (True, False)
    for as_of in (True, False)
}
