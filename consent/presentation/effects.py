"""What each event did to the use of data, read from the event itself and from whether its layer had an earlier one."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Min
from django.utils.translation import gettext as _

from ..models import ConsentEvent, EventKind
from ..rules import Reason

_MOVES = (EventKind.PLAN_CHANGED, EventKind.PLAN_DEFAULT_CHANGED, EventKind.SUBSCRIPTION_STARTED)


class Effects:
    """The effects of these events; one query for all of them."""

    def __init__(self, events: Iterable[ConsentEvent]) -> None:
        # An organization's layer has a `since` from its first event on, which need not have changed anything.
        fresh = [each for each in events if _is_fresh(each) and not each.allowed and each.member_id is None]
        layers = ConsentEvent.objects.filter(
            organization__in={each.organization_id for each in fresh},
            product__in={each.product for each in fresh},
            member=None,
        )
        rows = layers.values_list("organization_id", "product").annotate(Min("recorded_at")).order_by()
        self._first: dict[tuple[Any, Any], Any] = {(pk, product): at for pk, product, at in rows} if fresh else {}

    def began(self, event: ConsentEvent) -> bool:
        """Whether data of this layer may be used after the event, and might not before (R6)."""
        return event.allowed and _is_fresh(event) and event.kind != EventKind.SINCE_RESTARTED

    def ended(self, event: ConsentEvent) -> bool:
        """Whether data of this layer may not be used after the event, and might before."""
        if event.allowed or not _is_fresh(event):
            return False
        return event.member_id is not None or self._first[event.organization_id, event.product] < event.recorded_at

    def words(self, event: ConsentEvent) -> str:
        """The effect as a sentence for a history; '' for events that are about no product."""
        if not event.product:
            return ""
        if event.kind == EventKind.SINCE_ATTESTED:
            return _("Attested as used from an earlier day on.")
        if event.kind == EventKind.SINCE_RESTARTED and event.allowed:
            return _("Data from before is not used any more.")
        if self.began(event):
            return _("Used for training from then on.")
        if self.ended(event):
            return _("Not used for training from then on.")
        if event.kind in _MOVES and (why := _held_by(event)):
            return why
        return _("Used before and after.") if event.allowed else _("Not used before and after.")


def _is_fresh(event: ConsentEvent) -> bool:
    return bool(event.product) and event.since == event.recorded_at


def _held_by(event: ConsentEvent) -> str:
    """Why a plan, or its default, had no effect; '' if nothing but the default itself explains it."""
    match event.reason_code:
        case Reason.ORGANIZATION_OPTED_IN:
            return _("No effect: you had chosen. Used before and after.")
        case Reason.ORGANIZATION_OPTED_OUT:
            return _("No effect: you had chosen. Not used before and after.")
        case Reason.LOCKED:
            return _("No effect: it is locked. Not used before and after.")
        case Reason.CARRIED_OVER:
            return _("No effect: it stays out until you opt in. Not used before and after.")
    return ""
