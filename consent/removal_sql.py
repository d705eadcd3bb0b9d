"""The statements that find what a range of positions asks to be removed: index look-ups only, a page at a time.

An entry is about a key (an organization, or a member of it) and a product. It stands at the position of the last event
that its state depends on, at or before the end of the range; so each key is met once, and in order of position. Sub-
queries end with LIMIT 1, which keeps the planner from hashing a whole table for a page.
"""

from .models import EventKind

# What a member's part in a decision depends on besides their own choices.
MEMBERSHIP = (EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT, EventKind.SINCE_ATTESTED)
_MEMBERSHIP = ", ".join(f"'{kind.value}'" for kind in MEMBERSHIP)
_OF_MEMBERSHIP = f"{{0}}.product = '' AND {{0}}.kind IN ({_MEMBERSHIP})"

_RANGE = """
FROM consent_eventposition AS p JOIN consent_consentevent AS e ON e.id = p.event_id
WHERE p.position > %(after)s AND p.position <= %(until)s"""
_ORDER = "ORDER BY p.position LIMIT %(limit)s"


def _later(subject: str, by: str) -> str:
    """No later event of the subject up to the end: `by` says what is later."""
    return f"""(
    SELECT 1 FROM consent_consentevent AS l JOIN consent_eventposition AS lp ON lp.event_id = l.id
    WHERE {subject} AND {by} AND lp.position <= %(until)s LIMIT 1) IS NULL"""  # noqa: S608  words of ours


# Instants of one subject are in order of position, and its index has them in order.
_OF_THE_SAME = "l.recorded_at > e.recorded_at"
_OF_ANOTHER = "lp.position > p.position"

# Whether any of the run's files can hold records of the key: its layer has allowed use, or the member has joined, by
# the highest position of the files. What came later was unknown to the filter, which let none of it through.
# `everybody`: what the filter knew is lost by a restore.
_HELD_ORGANIZATION = """(%(everybody)s OR (
    SELECT 1 FROM consent_consentevent AS h JOIN consent_eventposition AS hp ON hp.event_id = h.id
    WHERE h.organization_id = e.organization_id AND h.product = e.product AND h.member_id IS NULL AND h.allowed
      AND hp.position <= %(top)s LIMIT 1) IS NOT NULL)"""
_HELD_MEMBER = """(%(everybody)s OR (
    SELECT 1 FROM consent_consentevent AS h JOIN consent_eventposition AS hp ON hp.event_id = h.id
    WHERE h.member_id = e.member_id AND h.product = '' AND h.kind = 'member.joined'
      AND hp.position <= %(top)s LIMIT 1) IS NOT NULL)"""

OF_ORGANIZATIONS = f"""
SELECT p.position, e.organization_id, NULL, e.allowed, e.reason_code, e.since, NULL, NULL, NULL
{_RANGE} AND e.member_id IS NULL AND e.product = %(product)s
  AND {_later("l.organization_id = e.organization_id AND l.product = e.product AND l.member_id IS NULL", _OF_THE_SAME)}
  AND {_HELD_ORGANIZATION}
{_ORDER}"""


def _last(alias: str, condition: str) -> str:
    return f"""LEFT JOIN consent_consentevent AS {alias} ON {alias}.id = (
    SELECT x.id FROM consent_consentevent AS x JOIN consent_eventposition AS xp ON xp.event_id = x.id
    WHERE x.member_id = e.member_id AND {condition} AND xp.position <= %(until)s
    ORDER BY x.recorded_at DESC LIMIT 1)"""  # noqa: S608  words of ours


_JOINED = _last("j", _OF_MEMBERSHIP.format("x"))
_CHOSE = _last("c", "x.product = %(product)s AND x.product <> ''")
_SELECT_MEMBER = "SELECT p.position, e.organization_id, e.member_id, {chosen}, j.since, j.kind, j.recorded_at"
_NO_MEMBERSHIP_AFTER = "l.member_id = e.member_id AND " + _OF_MEMBERSHIP.format("l")
_NO_CHOICE_AFTER = "l.member_id = e.member_id AND l.product = %(product)s"

_RANGE_OF_MEMBERS = _RANGE.replace("\nWHERE", "\n{joins}\nWHERE") + " AND e.member_id IS NOT NULL"

# Of a product that asks its members: events of the membership and of the member's own layer.
OF_MEMBERS = f"""
{_SELECT_MEMBER.format(chosen="c.allowed, c.reason_code, c.since")}
{_RANGE_OF_MEMBERS.format(joins=f"{_JOINED}{chr(10)}{_CHOSE}")}
  AND (e.product = %(product)s AND {_later(_NO_CHOICE_AFTER, _OF_THE_SAME)}
       AND {_later(_NO_MEMBERSHIP_AFTER, _OF_ANOTHER)}
    OR {_OF_MEMBERSHIP.format("e")} AND {_later(_NO_MEMBERSHIP_AFTER, _OF_THE_SAME)}
       AND {_later(_NO_CHOICE_AFTER, _OF_ANOTHER)})
  AND {_HELD_MEMBER}
{_ORDER}"""
# Of a product that doesn't: whoever is named there is still bound by joining and leaving.
OF_MEMBERSHIPS = f"""
{_SELECT_MEMBER.format(chosen="NULL, NULL, NULL")}
{_RANGE_OF_MEMBERS.format(joins=_JOINED)}
  AND {_OF_MEMBERSHIP.format("e")} AND {_later(_NO_MEMBERSHIP_AFTER, _OF_THE_SAME)}
  AND {_HELD_MEMBER}
{_ORDER}"""
