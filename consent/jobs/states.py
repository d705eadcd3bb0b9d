"""What can be done with a job in which state, and by whom; for the actions, and for all interfaces that offer them."""

from enum import StrEnum

from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden

from ..errors import Refused
from ..models import ENDED, OVER, UNFINISHED, BulkJob, ImportTable, JobKind, JobStatus
from . import approval


class Verb(StrEnum):
    RUN = "run"
    APPROVE = "approve"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    UNDO = "undo"


_STATES: dict[Verb, tuple[JobStatus, ...]] = {
    Verb.RUN: (JobStatus.PREVIEWED,),
    Verb.APPROVE: (JobStatus.AWAITING_APPROVAL,),
    Verb.PAUSE: UNFINISHED,
    Verb.RESUME: (JobStatus.PAUSED, JobStatus.FAILED),
    Verb.CANCEL: tuple(status for status in JobStatus if status not in ENDED),
    Verb.UNDO: OVER,
}
# In these states every interface shows a job's preview, to its author and to those who may approve it.
SHOWS_PREVIEW = (*_STATES[Verb.RUN], *_STATES[Verb.APPROVE])


def require_state(job: BulkJob, verb: Verb) -> None:
    """Raise Refused if the job's state doesn't allow this, whoever the actor is."""
    if verb is Verb.UNDO:
        _require_undoable(job)
    elif job.status not in _STATES[verb]:
        raise Refused("status", _("That can't be done with a job in this state: %s.") % job.get_status_display())


def _require_undoable(job: BulkJob) -> None:
    if job.kind == JobKind.PLAN_DEFAULT:
        raise Refused("plan_default", _("This can't be undone as a job. Change the default of the plan again instead."))
    if job.kind == JobKind.IMPORT and job.table != ImportTable.CHOICES:
        raise Refused("import", _("An import can't be undone as a whole. Change or close what it created instead."))
    if job.status not in _STATES[Verb.UNDO] or not job.changed:
        raise Refused("status", _("There is nothing to undo: the job has not ended, or it changed nothing."))


def possible(job: BulkJob, actor: Actor) -> list[Verb]:
    """What this actor can do with the job now; drift, and confirming who they are, are checked only when it is done."""
    try:
        approval.answering_person(actor)
    except Forbidden:
        return []
    return [verb for verb in Verb if _is_possible(job, actor, verb)]


def _is_possible(job: BulkJob, actor: Actor, verb: Verb) -> bool:
    try:
        require_state(job, verb)
    except Refused:
        return False
    return verb is not Verb.APPROVE or not approval.refusal(job, actor)
