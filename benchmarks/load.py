"""Loads many organizations with their events into an empty database: python -m benchmarks.load N

It writes whole tables by SQL instead of calling the services, which would take hours; the ledger still verifies. Each
organization has Le Chat Free, whose default is opted in. `--members 2` gives each two members; `--verify` verifies the
ledger.
"""

import argparse
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import django

PLAN, PRODUCT = "le_chat_free", "le_chat"
OPERATORS = ("operator@bench.example", "second@bench.example")
_ORGANIZATION = ("id", "external_id", "name", "kind", "country", "status", "created_at", "changed_at")
_USER = ("id", "password", "is_superuser", "email", "name", "is_active", "is_staff", "created_at")
_COUNTRIES = ("FR", "DE", "ES", "IT", "PL", "")

# The columns from actor_type to request_id, the same for all events; the parameter is the operator's id.
_ORIGIN = "'user', %s, TRUE, 'import', '', '', '', ''"
# The common start of the three statements that write events; each adds its SELECT.
_EVENTS = """
INSERT INTO consent_consentevent (kind, recorded_at, organization_id, member_id, product, plan, subscribed,
    applied_default, choice, carry, locked, closed, allowed, reason_code, since, before, after,
    actor_type, actor_id, by_operator, source, reason, reference, wording, request_id, surface)
SELECT """
# One event per organization: it exists, nothing is allowed yet.
_CREATED = f"""{_EVENTS} 'organization.created', created_at, id, NULL, '', '', FALSE, '', 'default', '', FALSE, FALSE,
    FALSE, '', NULL, '', '', {_ORIGIN}, '' FROM accounts_organization ORDER BY id"""
# One event per subscription: the plan's default, opted in, allows from here on.
_STARTED = f"""{_EVENTS} 'subscription.started', started_at, organization_id, NULL, product, plan_id, TRUE, 'opted_in',
    'default', '', FALSE, FALSE, TRUE, 'plan_default', started_at, '', '', {_ORIGIN}, ''
    FROM accounts_subscription ORDER BY organization_id"""
# One event per member, with the role in the column "after".
_JOINED = f"""{_EVENTS} 'member.joined', joined_at, organization_id, id, '', '', FALSE, '', 'default', '', FALSE, FALSE,
    TRUE, 'default', joined_at, '', role, {_ORIGIN}, '' FROM accounts_member ORDER BY id"""
# A subscription starts one microsecond after its organization, because a subject's instants strictly increase.
_SUBSCRIPTIONS = f"""
INSERT INTO accounts_subscription (organization_id, product, plan_id, started_at)
SELECT id, '{PRODUCT}', '{PLAN}', created_at + 1 FROM accounts_organization ORDER BY id"""
# The first meaning of each external id.
_BINDINGS = """
INSERT INTO accounts_binding (organization_id, value, hash, number, recorded_at, since, contested, spelled)
SELECT id, external_id, '', 1, created_at, created_at, FALSE, '' FROM accounts_organization ORDER BY id"""
# The stored state of each setting: that of its last event, which started the subscription.
_SETTINGS = """
INSERT INTO consent_privacysetting (organization_id, product, plan, subscribed, applied_default, choice, carry, locked,
    closed, allowed, reason_code, since, version, changed_at, last_event_id)
SELECT organization_id, product, plan, subscribed, applied_default, choice, carry, locked, closed, allowed,
    reason_code, since, 1, recorded_at, id
FROM consent_consentevent WHERE kind = 'subscription.started' ORDER BY organization_id"""


def load(count: int, members: int = 0, *, place: bool = True) -> None:
    """Load `count` organizations with `members` members each, the first of them the owner, and the operators.

    The events get their positions, unless `place` is False. Raises RuntimeError if there are organizations already.
    """
    from django.db import connection, transaction

    from accounts.fields import to_micros
    from accounts.models import Organization
    from consent import ledger

    if Organization.objects.exists():
        raise RuntimeError("this database has organizations already; a measurement wants one of its own")
    operator = operators()
    with transaction.atomic(), connection.cursor() as cursor:
        made = list(_organizations(count, to_micros(ledger.clock())))
        _load("accounts_organization", _ORGANIZATION, made)
        cursor.execute(_SUBSCRIPTIONS)
        cursor.execute(_BINDINGS)
        if members:
            _load_members([(row[0], row[-1]) for row in made], members)
        if members > 1:
            cursor.execute("UPDATE accounts_organization SET had_others = TRUE")
        for statement in (_CREATED, _STARTED, _JOINED) if members else (_CREATED, _STARTED):
            cursor.execute(statement, [operator])
        cursor.execute(_SETTINGS)
    if place:
        ledger.sequence()
    # The planner needs statistics, else the first queries that are measured get wrong plans.
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def operators() -> str:
    """Create the operators, without a password. Returns the id of the first one, as text."""
    from accounts.models import User

    made = [User.objects.create_user(email, is_staff=True) for email in OPERATORS]
    return str(made[0].pk)


def _organizations(count: int, at: int) -> Iterator[tuple[Any, ...]]:
    from accounts.fields import new_id

    for n in range(count):
        yield new_id(), f"account-{n}", f"Organization {n}", "team", _COUNTRIES[n % len(_COUNTRIES)], "active", at, at


def _load_members(organizations: list[tuple[uuid.UUID, int]], members: int) -> None:
    from django.db import connection
    from django.utils import timezone

    from accounts.fields import new_id

    # A DateTimeField's value in the form of this database, because the rows bypass the ORM.
    now = str(connection.ops.adapt_datetimefield_value(timezone.now()))
    people = [(new_id(), organization, at, n) for organization, at in organizations for n in range(members)]
    _load(
        "accounts_user",
        _USER,
        [(pk, "!", False, f"{pk.hex}@bench.example", f"Person {pk.hex[-6:]}", True, False, now) for pk, *_ in people],
    )
    columns = ("id", "organization_id", "user_id", "role", "status", "joined_at", "changed_at")
    roles = ("owner", "member")
    _load(
        "accounts_member",
        columns,
        [(new_id(), org, pk, roles[min(n, 1)], "active", at + 2, at + 2) for pk, org, at, n in people],
    )


def _load(table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from consent.files import loading

    loading.load(table, columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--members", type=int, default=0, help="of each organization")
    parser.add_argument("--verify", action="store_true")
    options = parser.parse_args()
    django.setup()
    from consent import verification

    begun = time.monotonic()
    load(options.count, options.members)
    told: dict[str, Any] = {"organizations": options.count, "seconds": round(time.monotonic() - begun, 1)}
    if options.verify:
        told["problems"] = verification.verify().problems
    print(json.dumps(told))


if __name__ == "__main__":
    main()
