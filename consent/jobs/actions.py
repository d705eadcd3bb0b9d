"""What can be done with a job: preview, submit, approve, pause, resume, stop, undo; for commands, API and screens."""

import copy
import uuid
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.access import MANAGING_ROLES, Act, Actor, Permission, require
from accounts.models import Organization, OrganizationKind, Plan
from config.timeouts import unlimited

from .. import ledger
from ..errors import Invalid, Refused
from ..models import BulkJob, ImportTable, JobKind, JobStatus, Source
from ..rules import Choice
from ..services import layers
from ..surfaces import Scope, Surface
from ..witness import quarantine
from . import cases, lists, rebinding, rows, telling
from .approval import answering_person, require_approver, require_reason
from .rebind_files import Rebinding
from .selection import ListedChoice, ListError, ListFile, Selection, unknown_idents
from .states import Verb, require_state

_NAMED = 5  # unknown organizations that an error names

ListedChoices = Mapping[uuid.UUID, str] | ListFile | QuerySet[Organization]


@unlimited()
def preview_choice(
    *,
    surface: Surface,
    actor: Actor,
    source: str,
    choice: str = "",
    reason: str = "",
    selection: Selection | None = None,
    wishes: ListedChoices | None = None,
) -> BulkJob:
    """Preview a job that makes `choice` for a selection, or the choice of each row of `wishes`; changes nothing yet.

    If `wishes` is a query, `choice` applies to the organizations that it finds now. If it is a file, each row has its
    own choice; without a column of choices all get `choice`. With a selection too, only rows that match it count.

    Raises Forbidden; Invalid for an unknown choice, or an opt-in without a reason; BadList, an Invalid, for invalid
    rows and unknown ids; BadFile if a file can't be read to its end.
    """
    require(actor, Permission.CONSENT_CHOOSE, None)
    if surface.scope is not Scope.ORGANIZATION:
        raise Invalid("wrong_scope", _("Only members make this choice; it can't be made for them in bulk."), "surface")
    if selection is not None:
        _check_known(selection)
    reason = layers.clean_text(reason, "reason")
    own = wishes.has_choices if isinstance(wishes, ListFile) else isinstance(wishes, Mapping)
    if own and choice:
        raise Invalid("choice", _("The list already gives the choices; leave this out."), "choice")
    # The choices in a file are known only once it has been read: `_freeze_list` checks those.
    chosen = set() if own else {choice}
    if isinstance(wishes, Mapping):
        chosen = set(wishes.values())
    _check_choices(chosen, reason)
    job = BulkJob(kind=JobKind.CHOICE, product=surface.product, surface=surface.key, wanted=choice, reason=reason)
    job.loosens = Choice.OPTED_IN in chosen
    with transaction.atomic():
        return _preview(job, actor, source, selection, wishes)


def _check_known(selection: Selection) -> None:
    """Raise Invalid if the selection names an organization that doesn't exist: that is a mistake, not an empty part."""
    if unknown := list(islice(unknown_idents(selection.organizations), _NAMED)):
        text = _("There is no organization %s.") % ", ".join(unknown)
        raise Invalid("unknown_organization", text, "select/organizations")


def _check_choices(chosen: Collection[str], reason: str) -> None:
    if unknown := set(chosen) - {Choice.OPTED_IN, Choice.OPTED_OUT}:
        raise Invalid(
            "unknown_choice", _("“%s” is not a choice. Choose opted_in or opted_out.") % min(unknown), "choice"
        )
    require_reason(reason, opts_in=Choice.OPTED_IN in chosen)


@unlimited()
def preview_default(*, plan: Plan, default: str, actor: Actor, source: str, reason: str = "") -> BulkJob:
    """Preview a change of a plan's default: an event for each subscriber, which may tighten but never loosen (R5)."""
    require(actor, Permission.CONSENT_CHOOSE, None)
    if default not in (Choice.OPTED_IN, Choice.OPTED_OUT):
        raise Invalid("unknown_choice", _("The default has to be opted_in or opted_out."), "default")
    _check_default(plan, default)
    reason = layers.clean_text(reason, "reason", required=True)
    job = BulkJob(kind=JobKind.PLAN_DEFAULT, product=plan.product, plan=plan.key, wanted=default, reason=reason)
    with transaction.atomic():
        layers.hold_plan(plan)  # waits for a change of the plan that is under way, and keeps others out
        return _preview(job, actor, source, Selection(plan=(plan.key,)), None)


def _check_default(plan: Plan, default: str) -> None:
    # The model's validation knows which plans may be opted in by default (R2).
    changed = copy.copy(plan)
    changed.training_default = default
    try:
        changed.full_clean(validate_unique=False)
    except ValidationError as error:
        raise Invalid("default", " ".join(error.messages), "default") from error


@unlimited()
def preview_rebind(*, wishes: Iterable[Rebinding | ListError], actor: Actor, source: str, reason: str = "") -> BulkJob:
    """Preview a job that gives external ids to subjects that they never meant before (R16); changes nothing yet.

    Raises Forbidden, Invalid without a reason, BadList for invalid rows, BadFile.
    """
    require(actor, Permission.EXTERNAL_IDS, None)
    reason = layers.clean_text(reason, "reason", required=True)
    job = BulkJob(kind=JobKind.REBIND, reason=reason, loosens=True)
    with transaction.atomic():
        return _preview(job, actor, source, None, wishes)


@unlimited()
def preview_undo(*, job: BulkJob, actor: Actor, source: str, reason: str = "") -> BulkJob:
    """Preview a job that takes back what `job` changed, except where somebody chose, confirmed or moved since.

    For an import of choices this is about organizations: only the member can take back a member's own choice (R4).
    Raises Forbidden; Refused if the job can't be undone; Invalid without a reason where one is needed.
    """
    require(actor, Permission.CONSENT_CHOOSE, None)
    require_state(job, Verb.UNDO)
    reason = layers.clean_text(reason, "reason", required=job.kind == JobKind.REBIND)
    undo = BulkJob(
        # The undo of a rebinding is another rebinding, dated from when it runs.
        kind=JobKind.REBIND if job.kind == JobKind.REBIND else JobKind.UNDO,
        loosens=job.kind == JobKind.REBIND,
        product=job.product,
        surface=job.surface,
        undoes=job,
        reason=reason,
    )
    with transaction.atomic():
        return _preview(undo, actor, source, None, None)


def _preview(
    job: BulkJob,
    actor: Actor,
    source: str,
    selection: Selection | None,
    wishes: ListedChoices | Iterable[Rebinding | ListError] | None,
) -> BulkJob:
    if source not in Source.values:
        raise Invalid("unknown_source", _("There is no source “%s”.") % source, "source")
    job.author, job.author_key = answering_person(actor), actor.key
    job.source, job.created_at = source, ledger.clock()
    # The rows of a list are fixed. Only a selection without a list is kept, and evaluated again to detect drift.
    kept = selection if wishes is None else None
    job.selection = kept.to_json() if kept else {}
    # Stored before its rows, which refer to it; if the preview fails, the caller's transaction takes it back.
    job.save(force_insert=True)
    if job.kind == JobKind.REBIND:
        _freeze_rebind(job, wishes)
    elif job.undoes is not None:
        rows.freeze_undo(job, job.undoes)
    elif isinstance(wishes, QuerySet):
        rows.freeze_query(job, wishes)
    elif wishes is not None:
        _freeze_list(job, cast("Mapping[uuid.UUID, str] | ListFile", wishes), selection)
    elif selection is not None:
        rows.freeze_selection(job, selection)
    if job.kind != JobKind.REBIND and (job.loosens or job.kind == JobKind.UNDO):
        rows.note_versions(job)
    seen = rows.preview(job)
    # A default that becomes opted in loosens for later subscribers, even if nobody is subscribed now.
    job.loosens |= seen.loosens or (job.kind == JobKind.PLAN_DEFAULT and job.wanted == Choice.OPTED_IN)
    if job.loosens and job.undoes is not None and not job.reason:
        raise Invalid("required", _("This undo allows data to be used again, so it needs a reason."), "reason")
    job.preview, job.summary, job.digest = dict(seen.outcomes), seen.summary, rows.digest(job, kept)
    job.save(update_fields=["loosens", "preview", "summary", "digest"])
    return job


def _freeze_rebind(job: BulkJob, wishes: Any) -> None:
    if job.undoes is not None:
        rebinding.freeze_undo(job, job.undoes)
    else:
        rebinding.freeze(job, wishes)


def _freeze_list(job: BulkJob, wishes: Mapping[uuid.UUID, str] | ListFile, selection: Selection | None) -> None:
    within = selection.organizations_for(job.product) if selection else None
    if not isinstance(wishes, ListFile):
        listed = (ListedChoice(n, str(pk), choice) for n, (pk, choice) in enumerate(wishes.items(), start=1))
        lists.freeze_list(job, listed, within)
        return
    frozen = lists.freeze_list(job, wishes.wishes(job.product), within)
    if wishes.has_choices:
        _check_choices(frozen.choices, job.reason)
        job.loosens = Choice.OPTED_IN in frozen.choices
    wishes.left_out = frozen.left_out


@unlimited()  # computes the digest again, of up to a million rows
@transaction.atomic
def submit(*, job: BulkJob, actor: Actor, digest: str, accept_drift: bool = False) -> BulkJob:
    """Let a previewed job run: it is queued, or, if it loosens, waits for approval.

    Raises Forbidden; Invalid if the digest is not the preview's; Refused if the selection has drifted since, unless
    `accept_drift` (then the rows run as previewed); ConfirmationRequired if an import makes owners or admins.
    """
    submitter = answering_person(actor)
    job = _locked(job, Verb.RUN)
    if job.loosens:
        quarantine.refuse()
    if digest != job.digest:
        raise Invalid("digest", _("This is not the digest of the preview, which is: %s.") % job.digest, "digest")
    if not accept_drift and _has_drifted(job):
        raise Refused("drifted", _("The organizations selected, or their settings, have changed since the preview."))
    if _gives_authority(job):
        layers.require_confirmed(actor, Act.ROLE_GIVE)
    job.submitter, job.submitter_key, job.submitted_at = submitter, actor.key, ledger.clock()
    job.status = JobStatus.AWAITING_APPROVAL if job.loosens else JobStatus.QUEUED
    job.save(update_fields=["status", "submitter", "submitter_key", "submitted_at"])
    if job.loosens:
        telling.tell_approvers(job)
    return job


def _gives_authority(job: BulkJob) -> bool:
    """Whether it is an import that makes owners or admins; personal organizations bring their owners."""
    if job.kind != JobKind.IMPORT:
        return False
    personal = job.table == ImportTable.ORGANIZATIONS and job.selection["kind"] == OrganizationKind.PERSONAL
    return personal or job.import_rows.filter(role__in=MANAGING_ROLES, outcome="").exists()


def _has_drifted(job: BulkJob) -> bool:
    if job.kind == JobKind.IMPORT:  # its rows can't change, and each is checked again when it is applied
        return False
    selection = Selection.from_json(job.selection) if job.selection and job.kind != JobKind.UNDO else None
    return rows.digest(job, selection) != job.digest


@transaction.atomic
def approve(*, job: BulkJob, actor: Actor, digest: str = "") -> BulkJob:
    """Approve a job as the second operator (R13), in person; `digest`, if given, is that of the preview they saw.

    Raises Forbidden for an API key, for those who wrote, submitted or previewed it, and for those who became operators,
    or got a new way to sign in, afterwards; Invalid for another digest; ConfirmationRequired.
    """
    answering_person(actor)
    job = _locked(job, Verb.APPROVE)
    quarantine.refuse()  # only what loosens waits for approval
    if digest and digest != job.digest:
        raise Invalid("digest", _("This is not the digest of the preview, which is: %s.") % job.digest, "digest")
    approver = require_approver(job, actor)
    layers.require_confirmed(actor, Act.JOB_APPROVE)
    job.approver, job.approved_at, job.status = approver, ledger.clock(), JobStatus.QUEUED
    job.save(update_fields=["approver", "approved_at", "status"])
    return job


def pause(*, job: BulkJob, actor: Actor) -> BulkJob:
    """Stop after the current chunk; `resume` continues."""
    return _move(job, actor, Verb.PAUSE, JobStatus.PAUSED)


def resume(*, job: BulkJob, actor: Actor) -> BulkJob:
    """Continue a paused or failed job at its cursor."""
    return _move(job, actor, Verb.RESUME, JobStatus.QUEUED)


def cancel(*, job: BulkJob, actor: Actor) -> BulkJob:
    """End the job after the current chunk; rows that are done stay changed, and can be undone."""
    return _move(job, actor, Verb.CANCEL, JobStatus.CANCELLED)


@transaction.atomic
def _move(job: BulkJob, actor: Actor, verb: Verb, status: JobStatus) -> BulkJob:
    require(actor, Permission.CONSENT_CHOOSE, None)
    job = _locked(job, verb)
    job.status = status
    job.finished_at = ledger.clock() if status == JobStatus.CANCELLED else None
    job.save(update_fields=["status", "finished_at"])
    return job


def _locked(job: BulkJob, verb: Verb) -> BulkJob:
    job = BulkJob.objects.select_for_update(no_key=True).get(pk=job.pk)
    require_state(job, verb)
    return job


def outcome_counts(job: BulkJob) -> dict[str, int]:
    """The preview as three numbers of rows: change, already so, refused."""
    counts = dict(job.preview)
    change, same = counts.pop(cases.CHANGE, 0), counts.pop(cases.SAME, 0)
    return {"change": change, "already": same, "refused": sum(counts.values())}
