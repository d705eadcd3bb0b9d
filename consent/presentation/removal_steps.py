"""The last step of the way of a choice: that earlier data is removed from what was trained on it.

Counted, with instants, and never by name. Which runs count depends on the choice's own layer alone, and a removal that
reaches to it is issued because of it, whatever anybody else chose (R4).
"""

from typing import Any

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..models import ConsentEvent, EventKind, RemovalBatch, RemovalState, TrainingRun
from .honoured import Step, number


def removal_steps(event: ConsentEvent, position: int | None) -> list[Step]:
    """The step of an event that tightens, at its position (None: it has none yet); none if no run can hold its data."""
    if position is None:
        return []
    runs = list(_concerned(event, position).values_list("pk", "retirement"))
    if not runs:
        return []
    batches = RemovalBatch.objects.filter(
        run__in=[pk for pk, _retired in runs], from_position__lt=position, to_position__gte=position
    ).select_related("acknowledgement", "run__retirement")
    issued = {batch.run_id: batch for batch in batches}
    # Retired before any removal was asked for: its model is not in use, so nothing is to be done.
    asked = [pk for pk, retired in runs if pk in issued or retired is None]
    return [_step([issued.get(pk) for pk in asked])] if asked else []


def _concerned(event: ConsentEvent, position: int) -> Any:
    """The runs that may hold data of the event's key from before it: see `removal_sql`."""
    earlier = ConsentEvent.objects.filter(placed__position__lte=OuterRef("last_position"))
    if event.member_id is None:
        held = earlier.filter(organization=event.organization_id, member=None, product=event.product, allowed=True)
    else:
        held = earlier.filter(member=event.member_id, product="", kind=EventKind.MEMBER_JOINED)
    return TrainingRun.objects.filter(Exists(held), snapshot_position__lt=position)


def _step(batches: list[RemovalBatch | None]) -> Step:
    """`batches`: of each run the removal that reaches to the event, None if it is still to be issued."""
    now = timezone.now()
    states = [batch.state(now) if batch else None for batch in batches]
    over = sum(state in (RemovalState.ACKNOWLEDGED, RemovalState.RETIRED) for state in states)
    words = ngettext(
        "%(total)s training run may hold earlier data; it has been removed from %(done)s.",
        "%(total)s training runs may hold earlier data; it has been removed from %(done)s.",
        len(states),
    ) % {"total": number(len(states)), "done": number(over)}
    lines = tuple(_line(batch, state) for batch, state in zip(batches, states, strict=True) if batch is not None)
    said = [batch.acknowledgement.acknowledged_at for batch in batches if batch and hasattr(batch, "acknowledgement")]
    if over == len(states):
        return Step(_("Removed from earlier training"), words, "done", max(said, default=None), lines)
    state = "late" if RemovalState.OVERDUE in states else "begun" if lines else "open"
    return Step(_("Removed from earlier training"), words, state, None, lines)


def _line(batch: RemovalBatch, state: RemovalState | None) -> tuple[str, Any]:
    match state:
        case RemovalState.ACKNOWLEDGED:
            return _("One says it has been removed"), batch.acknowledgement.acknowledged_at
        case RemovalState.RETIRED:
            return _("The model of one is no longer in use"), batch.run.retirement.retired_at
        case RemovalState.OVERDUE:
            return _("Of one it is overdue; it was due"), batch.due_at
    return _("Of one it is to be removed by"), batch.due_at
