"""The provider's acts on each organization, kept for the note on its pages until its people have seen them."""

from collections.abc import Sequence

from accounts.access import MANAGING_ROLES

from ..models import TOLD_TO_ORGANIZATIONS, ConsentEvent, EventKind, ProviderAct
from .turns import without_first

# What starts an account, or changes nothing that its people decide about.
_SILENT = frozenset(
    {
        EventKind.ORGANIZATION_CREATED,
        EventKind.MEMBER_UPDATED,
        EventKind.SINCE_ATTESTED,
        EventKind.EXTERNAL_ID_GIVEN,
        EventKind.EXTERNAL_ID_WITHDRAWN,
        EventKind.EXTERNAL_ID_REBOUND,
    }
)
_ACTS = TOLD_TO_ORGANIZATIONS - _SILENT
_MEMBERSHIP = frozenset({EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT})


def keep_acts(events: Sequence[ConsentEvent]) -> None:
    acts = without_first(event for event in events if _is_act(event))
    ProviderAct.objects.bulk_create(
        ProviderAct(position=event.placed.position, event_id=event.pk, organization_id=event.organization_id)
        for event in acts
        if event.organization_id is not None
    )


def _is_act(event: ConsentEvent) -> bool:
    if not event.by_operator or event.kind not in _ACTS:
        return False
    if event.member_id is not None and event.product:  # a member's own setting is not the organization's business (R4)
        return False
    # Imports bring members by the thousand: only those who may decide something count.
    return event.kind not in _MEMBERSHIP or bool(MANAGING_ROLES & {event.before, event.after})
