"""Approval by a second person (R13): who may approve a job, and whether a job that loosens may still run."""

import uuid

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, Permission, require
from accounts.models import ApiKey, User
from accounts.operators import SecondPerson, is_operator_since, require_second_person

from .. import ledger
from ..errors import Invalid
from ..models import BulkJob, JobKind, JobStatus

# The outcome of an approved row that is not loosened, because somebody involved has lost the authority for it.
AUTHORITY_ENDED = "authority_ended"


def answering_person(actor: Actor) -> User:
    """The operator responsible for the actor: the person, or who issued the key. Raises Forbidden if there is none."""
    require(actor, Permission.CONSENT_CHOOSE, None)
    person = actor.person
    if person is None or not (person.is_active and person.is_staff):
        raise Forbidden(Permission.CONSENT_CHOOSE)
    return person


def involved_in(job: BulkJob) -> set[uuid.UUID | None]:
    """Ids of everybody who wrote or submitted the job, or issued an API key that did."""
    keys = (job.author_key_id, job.submitter_key_id)
    answering = ApiKey.objects.filter(pk__in=[pk for pk in keys if pk]).values_list("issued_by_id", flat=True)
    return {job.author_id, job.submitter_id, *answering}


def require_approver(job: BulkJob, actor: Actor) -> User:
    """The actor as the second operator. Raises Forbidden, saying why, for an API key and for who may not approve."""
    person = answering_person(actor)
    if actor.key is not None:
        raise Forbidden("approve")
    return require_second_person(person, asked_at=job.submitted_at or job.created_at, involved=involved_in(job))


def refusal(job: BulkJob, actor: Actor) -> str:
    """Why the actor can't approve the job, as a sentence for them; '' if they can."""
    try:
        with transaction.atomic():
            require_approver(job, actor)
    except Forbidden as error:
        return error.detail or _("Only operators approve jobs.")
    return ""


def to_approve(second: SecondPerson) -> QuerySet[BulkJob]:
    """The jobs that wait for approval and that this operator can approve, by the rule of `refusal`."""
    involved = Q(author=second.user) | Q(submitter=second.user)
    involved |= Q(author_key__issued_by=second.user) | Q(submitter_key__issued_by=second.user)
    waiting = BulkJob.objects.filter(status=JobStatus.AWAITING_APPROVAL).exclude(involved)
    return waiting.annotate(asked_at=Coalesce("submitted_at", "created_at")).filter(asked_at__gt=second.since)


def require_reason(reason: str, *, opts_in: bool, told: str = "") -> None:
    """Raise Invalid if an opt-in in bulk has no reason (R13); `told` replaces the general message."""
    if opts_in and not reason:
        raise Invalid("required", told or _("Opting in in bulk needs a reason."), "reason")


def may_still_loosen(job: BulkJob) -> bool:
    """Whether author, submitter and approver have been operators all along, and the API keys used are still valid."""
    now = ledger.clock()
    keys = ApiKey.objects.filter(pk__in=[pk for pk in (job.author_key_id, job.submitter_key_id) if pk])
    if not all(key.is_live(now) for key in keys):
        return False
    acts = [
        (job.author_id, job.created_at),
        (job.submitter_id, job.submitted_at),
        # An operator when the job was submitted, not only when they approved: nobody is made one to approve it.
        (job.approver_id, job.submitted_at),
    ]
    people = User.objects.in_bulk([pk for pk, _at in acts if pk])
    return all(pk is not None and is_operator_since(people.get(pk), at) for pk, at in acts)


def plans_set_since(job: BulkJob) -> set[str]:
    """Keys of the plans whose default another job has set since this one was previewed."""
    others = BulkJob.objects.filter(kind=JobKind.PLAN_DEFAULT, started_at__gte=job.created_at).exclude(pk=job.pk)
    return set(others.values_list("plan", flat=True))
