"""The origin (who, where and why) of the events that a job writes."""

from accounts.access import Actor, ActorType

from ..ledger import Origin
from ..models import BulkJob, JobKind, Source


def origin_of(job: BulkJob) -> Origin:
    """The origin for the job's events: API key, command or person. Don't check permissions by its actor."""
    if job.author_key_id is not None:
        actor = Actor(ActorType.API_KEY, str(job.author_key_id))
    else:
        actor = Actor(ActorType.COMMAND if job.source == Source.COMMAND else ActorType.USER, str(job.author_id))
    source = Source.IMPORT.value if job.kind == JobKind.IMPORT else job.source
    return Origin(
        actor=actor, source=source, by_operator=True, reason=job.reason, reference=job.reference, job_id=job.pk
    )
