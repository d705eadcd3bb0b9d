"""One person is not two (R13): who may approve a job, and whether what loosens may still run."""

import uuid

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, Permission, require
from accounts.models import ApiKey, User
from accounts.operators import is_operator_since, require_second_person

from .. import ledger
from ..errors import Invalid
from ..models import BulkJob, JobKind

# Why a row that loosens is left alone though it was approved.
AUTHORITY_ENDED = "authority_ended"


def answering_person(actor: Actor) -> User:
    """Who answers for what the actor does: the person, or by whom the key was issued. Raises Forbidden for none."""
    require(actor, Permission.CONSENT_CHOOSE, None)
    person = actor.person
    if person is None or not (person.is_active and person.is_staff):
        raise Forbidden(Permission.CONSENT_CHOOSE)
    return person


def involved_in(job: BulkJob) -> set[uuid.UUID | None]:
    """Everybody who wrote, submitted or previewed it, or answers for a key that did."""
    keys = (job.author_key_id, job.submitter_key_id)
    answering = ApiKey.objects.filter(pk__in=[pk for pk in keys if pk]).values_list("issued_by_id", flat=True)
    return {job.author_id, job.submitter_id, *answering}


def require_approver(job: BulkJob, actor: Actor) -> User:
    """The second operator. Raises Forbidden for a key, and for whoever can't be that, saying why."""
    person = answering_person(actor)
    if actor.key is not None:
        raise Forbidden("approve")
    return require_second_person(person, asked_at=job.submitted_at or job.created_at, involved=involved_in(job))


def refusal(job: BulkJob, actor: Actor) -> str:
    """Why the actor can't approve it, in words for them; '' if they can."""
    try:
        with transaction.atomic():
            require_approver(job, actor)
    except Forbidden as error:
        return error.detail or _("Only operators approve jobs.")
    return ""


def require_reason(reason: str, *, opts_in: bool, told: str = "") -> None:
    """Opting in in bulk says why (R13). Raises Invalid, which says `told` where that is more to the point."""
    if opts_in and not reason:
        raise Invalid("required", told or _("Opting in in bulk needs a reason."), "reason")


def may_still_loosen(job: BulkJob) -> bool:
    """Whether author, submitter and approver are the operators they were, and the keys it came by still good."""
    now = ledger.clock()
    keys = ApiKey.objects.filter(pk__in=[pk for pk in (job.author_key_id, job.submitter_key_id) if pk])
    if not all(key.is_live(now) for key in keys):
        return False
    acts = [
        (job.author_id, job.created_at),
        (job.submitter_id, job.submitted_at),
        (job.approver_id, job.submitted_at),
    ]
    people = User.objects.in_bulk([pk for pk, _at in acts if pk])
    return all(pk is not None and is_operator_since(people.get(pk), at) for pk, at in acts)


def plans_set_since(job: BulkJob) -> set[str]:
    """The plans whose default another job has set after this one was previewed."""
    others = BulkJob.objects.filter(kind=JobKind.PLAN_DEFAULT, started_at__gte=job.created_at).exclude(pk=job.pk)
    return set(others.values_list("plan", flat=True))
