"""External ids from before they were dated: each means, from its start on, whoever has it (R16).

That start is the creation or joining, or what was attested of it; where a later event may have changed the id, the last
such event. Nearly all ids are plain ASCII and taken over by one statement; the others are brought to their one
spelling here, and those that become one with another's mean nobody until they are rebound.
"""

import time
import uuid
from itertools import islice

from django.db import migrations

from accounts import characters, external_ids
from consent.large_tables import ValidateCheck

_BATCH = 2_000
# Where `external_ids.normalize` changes nothing, as each database can tell.
_PLAIN = {
    "sqlite": "{c} NOT GLOB '*[^ -~]*' AND {c} GLOB '[A-Za-z0-9]*' AND {c} GLOB '*[A-Za-z0-9]'",
    "postgresql": """({c} COLLATE "C") ~ '^[A-Za-z0-9]([ -~]*[A-Za-z0-9])?$'""",
}
_INSERT = """
INSERT INTO accounts_binding (organization_id, member_id, value, hash, number, recorded_at, since, withdrawn_at,
    contested, spelled)"""
# The last event that may have changed the id of an organization; the first start that was attested of it.
_ORGANIZATIONS = """
SELECT o.id AS organization_id, NULL AS member_id, o.external_id, o.created_at AS began, (
    SELECT MAX(e.recorded_at) FROM consent_consentevent AS e
    WHERE e.organization_id = o.id AND e.member_id IS NULL AND e.product = ''
      AND e.kind = 'organization.updated' AND e.after LIKE '%external_id%') AS changed, (
    SELECT MIN(e.since) FROM consent_consentevent AS e
    WHERE e.organization_id = o.id AND e.member_id IS NULL AND e.kind = 'since.attested') AS attested
FROM accounts_organization AS o WHERE o.external_id IS NOT NULL"""
# Joining again could give another id too, without saying so.
_MEMBERS = """
SELECT m.organization_id, m.id AS member_id, m.external_id, (
    SELECT COALESCE(MIN(e.recorded_at), m.joined_at) FROM consent_consentevent AS e
    WHERE e.member_id = m.id AND e.product = '' AND e.kind = 'member.joined') AS began, (
    SELECT MAX(e.recorded_at) FROM consent_consentevent AS e
    WHERE e.member_id = m.id AND e.product = '' AND (e.kind = 'member.updated' OR e.kind = 'member.joined'
      AND EXISTS (SELECT 1 FROM consent_consentevent AS x WHERE x.member_id = m.id AND x.product = ''
        AND x.kind = 'member.joined' AND x.recorded_at < e.recorded_at))) AS changed, (
    SELECT MIN(e.since) FROM consent_consentevent AS e
    WHERE e.member_id = m.id AND e.product = '' AND e.kind = 'since.attested') AS attested
FROM accounts_member AS m WHERE m.external_id IS NOT NULL"""
_SINCE = """CASE WHEN x.changed IS NOT NULL THEN x.changed
    WHEN x.attested < x.began THEN x.attested ELSE x.began END"""


def bind(apps, editor):
    connection = editor.connection
    plain = _PLAIN[connection.vendor]
    for subjects, table in ((_ORGANIZATIONS, "o"), (_MEMBERS, "m")):
        condition = plain.format(c=f"{table}.external_id")
        with connection.cursor() as cursor:
            cursor.execute(
                f"""{_INSERT}
SELECT x.organization_id, {"NULL" if table == "o" else "x.member_id"}, x.external_id, '', 1,
    COALESCE(x.changed, x.began), {_SINCE}, NULL, FALSE, '' FROM ({subjects} AND {condition}) AS x"""
            )
        _bind_others(apps, connection, f"{subjects} AND NOT ({condition})", table)


def _bind_others(apps, connection, subjects, table):
    """Those that have to be looked at one by one."""
    Binding = apps.get_model("accounts", "Binding")
    model = apps.get_model("accounts", "Organization" if table == "o" else "Member")
    stamp = time.time_ns() // 1000
    # In one spelling, which of the ids met here a scope has: (scope, spelling) → bindings, in order of subject.
    found = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT x.organization_id, x.member_id, x.external_id, COALESCE(x.changed, x.began), {_SINCE}"
            f" FROM ({subjects}) AS x ORDER BY x.organization_id, x.member_id"
        )
        for *ids, text, recorded_at, since in cursor.fetchall():
            organization, member = map(_id, ids)
            value = visible(text)
            binding = Binding(
                organization_id=organization, member_id=member, value=value or text, recorded_at=recorded_at,
                since=since, spelled="" if value == text else text, withdrawn_at=None if value else stamp,
            )  # fmt: skip
            found.setdefault((organization if member else None, binding.value), []).append(binding)
    groups, made, changed = iter(found.items()), [], []
    while page := list(islice(groups, _BATCH)):
        there = _there(Binding, table, page)
        for key, bindings in page:
            first = there.get(key)
            if first is not None:
                _contest(Binding, model, first, stamp)
            contested = first is not None or len(bindings) > 1
            for number, binding in enumerate(bindings, start=2 if first is not None else 1):
                if contested or binding.withdrawn_at:
                    binding.number, binding.contested, binding.spelled = number, True, binding.spelled or binding.value
                    binding.recorded_at = binding.since = binding.withdrawn_at = stamp
                made.append(binding)
                if binding.spelled:
                    changed.append(
                        (binding.member_id or binding.organization_id, None if binding.withdrawn_at else key[1])
                    )
    _rename(model, changed)
    Binding.objects.bulk_create(made, batch_size=_BATCH)


def _id(value):
    """SQLite keeps ids as text."""
    return None if value is None else uuid.UUID(str(value))


def _there(model, table, page):
    """Plain ids that others become: (scope, value) → its binding."""
    rows = model.objects.filter(value__in={value for (_scope, value), _bindings in page})
    rows = rows.filter(member=None) if table == "o" else rows.exclude(member=None)
    return {(each.organization_id if table == "m" else None, each.value): each for each in rows.iterator(_BATCH)}


def _contest(bindings, model, binding, stamp):
    """Not a moment of the past is anybody's by this id."""
    bindings.objects.filter(pk=binding.pk).update(
        contested=True, spelled=binding.value, recorded_at=stamp, since=stamp, withdrawn_at=stamp
    )
    model.objects.filter(pk=binding.member_id or binding.organization_id).update(external_id=None)


def _rename(model, changed):
    """First nobody has any of them, so that none is in another's way."""
    for start in range(0, len(changed), _BATCH):
        model.objects.filter(pk__in=[pk for pk, _text in changed[start : start + _BATCH]]).update(external_id=None)
    kept = [(pk, text) for pk, text in changed if text is not None]
    for start in range(0, len(kept), _BATCH):
        texts = dict(kept[start : start + _BATCH])
        rows = list(model.objects.filter(pk__in=texts).only("pk", "external_id"))
        for row in rows:
            row.external_id = texts[row.pk]
        model.objects.bulk_update(rows, ["external_id"], batch_size=500)


def visible(text):
    """The one spelling of what can be seen of an id; '' where that is nothing, or too long."""
    for seen in (text, "".join(map(_seen, text))):
        try:
            value = external_ids.normalize(seen)
        except characters.Unusable:
            continue
        return value if len(value) <= external_ids.LENGTH else ""
    return ""


def _seen(character):
    if character.isspace():
        return " "
    return "" if characters.is_unseen(character) else character


def unbind(apps, _editor):
    """The spellings of before; an id that was rebound since stays where it is now."""
    Binding = apps.get_model("accounts", "Binding")
    for name in ("Organization", "Member"):
        model = apps.get_model("accounts", name)
        rows = Binding.objects.exclude(spelled="").filter(member__isnull=name == "Organization")
        for binding in rows.iterator(_BATCH):
            pk = binding.member_id or binding.organization_id
            scope = {"organization": binding.organization_id} if name == "Member" else {}
            if model.objects.filter(external_id=binding.spelled, **scope).exists():
                continue
            shown = [binding.value, None] if binding.withdrawn_at is None else [None]
            for text in shown:
                if model.objects.filter(pk=pk, external_id=text).update(external_id=binding.spelled):
                    break


class Migration(migrations.Migration):
    dependencies = [("consent", "0015_external_id_events")]

    operations = [migrations.RunPython(bind, unbind), ValidateCheck("consentevent", "event_kind_known")]
