"""The verbs of a job: preview, submit, approve, pause, resume, stop, undo. Command, API and screens call these."""

import copy
import uuid
from collections.abc import Mapping
from itertools import islice

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, Permission, require
from accounts.models import Organization, Plan, User

from .. import ledger
from ..job_models import BulkJob, JobKind, JobStatus
from ..models import Source
from ..rules import Choice
from ..services import layers
from ..services.errors import Invalid, Refused
from ..surfaces import Scope, Surface
from . import rows, shapes
from .selection import Selection

_BATCH = 5_000


def preview_choice(
    *,
    surface: Surface,
    actor: Actor,
    source: str,
    choice: str = "",
    reason: str = "",
    selection: Selection | None = None,
    wishes: Mapping[uuid.UUID, str] | None = None,
) -> BulkJob:
    """A job that makes `choice` for a selection, or each organization's own of `wishes`; nothing is changed yet.

    Raises Forbidden, and Invalid for unknown ids, a choice that is none, or an opt-in without a reason.
    """
    author = _author(actor)
    if surface.scope is not Scope.ORGANIZATION:
        raise Invalid("wrong_scope", _("Members choose for themselves; nobody does it for them in bulk."), "surface")
    reason = layers.clean_text(reason, "reason")
    choices = set(wishes.values()) if wishes is not None else {choice}
    if unknown := choices - {Choice.OPTED_IN, Choice.OPTED_OUT}:
        raise Invalid("unknown_choice", _("“%s” is no choice; choose opted_in or opted_out.") % min(unknown), "choice")
    if Choice.OPTED_IN in choices and not reason:
        raise Invalid("required", _("Opting in in bulk needs a reason."), "reason")
    job = BulkJob(kind=JobKind.CHOICE, product=surface.product, surface=surface.key, wanted=choice, reason=reason)
    with transaction.atomic():
        return _preview(job, author, source, selection, wishes)


def preview_default(*, plan: Plan, default: str, actor: Actor, source: str, reason: str = "") -> BulkJob:
    """A job that changes a plan's default: an event for everybody subscribed, who stay as they are or go out (R5)."""
    author = _author(actor)
    if default not in (Choice.OPTED_IN, Choice.OPTED_OUT):
        raise Invalid("unknown_choice", _("A default is opted_in or opted_out."), "default")
    _check_default(plan, default)
    reason = layers.clean_text(reason, "reason", required=True)
    job = BulkJob(kind=JobKind.PLAN_DEFAULT, product=plan.product, plan=plan.key, wanted=default, reason=reason)
    with transaction.atomic():
        return _preview(job, author, source, Selection(plan=(plan.key,)), None)


def _check_default(plan: Plan, default: str) -> None:
    changed = copy.copy(plan)
    changed.training_default = default
    try:
        changed.full_clean(validate_unique=False)
    except ValidationError as error:
        raise Invalid("default", " ".join(error.messages), "default") from error


def preview_undo(*, job: BulkJob, actor: Actor, source: str, reason: str = "") -> BulkJob:
    """A job that takes back what `job` changed, where nobody has chosen or confirmed since."""
    author = _author(actor)
    if job.kind == JobKind.PLAN_DEFAULT:
        raise Refused("plan_default", _("A plan's default is changed back by another change of it."))
    if not job.is_over or not job.changed:
        raise Refused("status", _("There is nothing to undo: the job is not over, or changed nothing."))
    undo = BulkJob(
        kind=JobKind.UNDO,
        product=job.product,
        surface=job.surface,
        undoes=job,
        reason=layers.clean_text(reason, "reason"),
    )
    with transaction.atomic():
        return _preview(undo, author, source, None, None)


def _author(actor: Actor) -> User:
    require(actor, Permission.CONSENT_CHOOSE, None)
    if actor.user is None:
        raise Forbidden(Permission.CONSENT_CHOOSE)
    return actor.user


def _preview(
    job: BulkJob,
    author: User,
    source: str,
    selection: Selection | None,
    wishes: Mapping[uuid.UUID, str] | None,
) -> BulkJob:
    if source not in Source.values:
        raise Invalid("unknown_source", _("There is no source “%s”.") % source, "source")
    job.author, job.source, job.created_at = author, source, ledger.clock()
    job.selection = selection.to_json() if selection else {}
    job.save(force_insert=True)
    if job.undoes is not None:
        rows.freeze_undo(job, job.undoes)
    elif wishes is not None:
        _refuse_unknown(wishes)
        rows.freeze_wishes(job, wishes)
    elif selection is not None:
        rows.freeze_selection(job, selection)
    seen = rows.preview(job)
    # A default that becomes "in" loosens for those who come later, even where nobody is subscribed.
    job.loosens = seen.loosens or (job.kind == JobKind.PLAN_DEFAULT and job.wanted == Choice.OPTED_IN)
    job.loosens = job.loosens or (
        job.kind == JobKind.CHOICE and Choice.OPTED_IN in {job.wanted, *(wishes or {}).values()}
    )
    job.preview, job.digest = dict(seen.outcomes), rows.digest(job, selection)
    job.save(update_fields=["loosens", "preview", "digest"])
    return job


def _refuse_unknown(wishes: Mapping[uuid.UUID, str]) -> None:
    wished = iter(wishes)
    while batch := list(islice(wished, _BATCH)):
        known = set(Organization.objects.filter(pk__in=batch).values_list("pk", flat=True))
        if missing := [str(pk) for pk in batch if pk not in known]:
            raise Invalid(
                "unknown_organization", _("There is no organization %s.") % ", ".join(missing[:5]), "organizations"
            )


@transaction.atomic
def submit(*, job: BulkJob, actor: Actor, digest: str, accept_drift: bool = False) -> BulkJob:
    """Let a previewed job run: queued, or awaiting approval where it loosens.

    Raises Invalid where the digest is not the preview's; Refused where the selection has drifted since, unless told to
    go on with the rows as previewed.
    """
    require(actor, Permission.CONSENT_CHOOSE, None)
    job = _locked(job, JobStatus.PREVIEWED)
    if digest != job.digest:
        raise Invalid("digest", _("The digest is not this preview's: %s.") % job.digest, "digest")
    selection = Selection.from_json(job.selection) if job.selection else None
    if not accept_drift and rows.digest(job, selection) != job.digest:
        raise Refused("drifted", _("The organizations selected, or their settings, have changed since the preview."))
    job.status = JobStatus.AWAITING_APPROVAL if job.loosens else JobStatus.QUEUED
    job.save(update_fields=["status"])
    return job


@transaction.atomic
def approve(*, job: BulkJob, actor: Actor) -> BulkJob:
    """A second operator's yes (R13). Raises Forbidden for the author and for anybody who is no operator."""
    approver = _author(actor)
    job = _locked(job, JobStatus.AWAITING_APPROVAL)
    if approver.pk == job.author_id:
        raise Forbidden("approve")
    job.approver, job.approved_at, job.status = approver, ledger.clock(), JobStatus.QUEUED
    job.save(update_fields=["approver", "approved_at", "status"])
    return job


def pause(*, job: BulkJob, actor: Actor) -> BulkJob:
    """Stop after the chunk at hand; `resume` goes on."""
    return _move(job, actor, JobStatus.PAUSED, JobStatus.QUEUED, JobStatus.RUNNING)


def resume(*, job: BulkJob, actor: Actor) -> BulkJob:
    """Go on with a paused or failed job, at its mark."""
    return _move(job, actor, JobStatus.QUEUED, JobStatus.PAUSED, JobStatus.FAILED)


def cancel(*, job: BulkJob, actor: Actor) -> BulkJob:
    """End the job after the chunk at hand; what is done stays, and can be undone."""
    states = [status for status in JobStatus if status not in (JobStatus.DONE, JobStatus.CANCELLED)]
    return _move(job, actor, JobStatus.CANCELLED, *states)


@transaction.atomic
def _move(job: BulkJob, actor: Actor, status: JobStatus, *allowed: JobStatus) -> BulkJob:
    require(actor, Permission.CONSENT_CHOOSE, None)
    job = _locked(job, *allowed)
    job.status = status
    job.finished_at = ledger.clock() if status == JobStatus.CANCELLED else None
    job.save(update_fields=["status", "finished_at"])
    return job


def _locked(job: BulkJob, *allowed: JobStatus) -> BulkJob:
    job = BulkJob.objects.select_for_update(no_key=True).get(pk=job.pk)
    if job.status not in allowed:
        raise Refused("status", _("That can't be done with a job in this state: %s.") % job.get_status_display())
    return job


def outcome_counts(job: BulkJob) -> dict[str, int]:
    """The preview in three numbers: change, already so, refused."""
    counts = dict(job.preview)
    change, same = counts.pop(shapes.CHANGE, 0), counts.pop(shapes.SAME, 0)
    return {"change": change, "already": same, "refused": sum(counts.values())}
