"""The access trail: who created, changed, took over and ended keys, webhooks, invitations, second factors, operators;
and the provider's own acts: plans, cooling-off periods, consumers, training runs and their removals.

Its events are in the same ledger as those about data, but concern no layer. They contain only ids and code words: no
names and addresses (R14), no secrets and hashes, and no choice of a member (R4).
"""

import datetime as dt
import re

from accounts.access import Actor, ActorType, Permission, role_of, speaks_for_provider
from accounts.models import Organization

from .. import ledger
from ..models import OF_NO_LAYER, TOLD_TO_ORGANIZATIONS, ConsentEvent, EventKind, Source

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_WORD = rf"(?:{_UUID}|[0-9]{{1,19}}|[a-z]+(?:[._:][a-z]+)*)"
# Ids, roles, names of fields and of types, one or several: no key, hash or address has this form.
_PLAIN = re.compile(rf"(?:{_WORD}(?:, {_WORD})*)?")

_TARGET_LENGTH = ConsentEvent._meta.get_field("target").max_length or 0
_VALUE_LENGTH = ConsentEvent._meta.get_field("after").max_length or 0


def note(
    kind: EventKind,
    *,
    organization: Organization | None,
    actor: Actor,
    source: str,
    target: object = "",
    before: str = "",
    after: str = "",
    reason: str = "",
    later_than: dt.datetime | None = None,
) -> ConsentEvent:
    """Write one event of no layer, in the caller's transaction: the change and its event are stored together, or not at
    all.

    `organization` may see it; None: only operators may. `target` is the id of what it is about. The caller must have
    checked the permission. Raises ValueError for other kinds of events, and for anything but ids and code words.
    """
    if kind not in OF_NO_LAYER:
        raise ValueError(f"{kind} is an event of a layer")
    if organization is not None and kind not in TOLD_TO_ORGANIZATIONS:
        raise ValueError(f"{kind} is no organization's affair")
    if source not in Source.values:
        raise ValueError(f"there is no source {source}")
    for text, longest in ((str(target), _TARGET_LENGTH), (before, _VALUE_LENGTH), (after, _VALUE_LENGTH)):
        # SQLite stores texts that are too long for their column; PostgreSQL refuses them, and so does this.
        if not _PLAIN.fullmatch(text) or len(text) > longest:
            raise ValueError("an event of no layer holds ids and plain words")
    origin = ledger.Origin(
        actor=actor, source=source, by_operator=_for_provider(actor, source, organization), reason=reason
    )
    event = ledger.event(
        kind,
        organization=organization,
        product=None,
        before=before,
        after=after,
        target=str(target),
        origin=origin,
        # These events have no subject, so R7 doesn't order them; the caller may have an order of its own.
        at=ledger.clock(later_than),
        state=ledger.NO_LAYER,
    )
    ledger.record([event])
    return event


def _for_provider(actor: Actor, source: str, organization: Organization | None) -> bool:
    """Whether the actor acted for the provider. Operators who are members act for the organization on its own pages."""
    if actor.type in (ActorType.COMMAND, ActorType.SYSTEM):
        return True
    if actor.key is not None and organization is not None:
        return speaks_for_provider(actor, Permission.KEYS_MANAGE, organization)
    if not actor.is_operator:
        return False
    return organization is None or source == Source.ADMIN or role_of(actor, organization) is None
