"""Who acts, where and why, of all that a job writes."""

from accounts.access import Actor, ActorType

from ..ledger import Origin
from ..models import BulkJob, JobKind, Source


def origin_of(job: BulkJob) -> Origin:
    """As its events tell it: by key, by command or in person. Of no use for asking what anybody may do."""
    if job.author_key_id is not None:
        actor = Actor(ActorType.API_KEY, str(job.author_key_id))
    else:
        actor = Actor(ActorType.COMMAND if job.source == Source.COMMAND else ActorType.USER, str(job.author_id))
    source = Source.IMPORT.value if job.kind == JobKind.IMPORT else job.source
    return Origin(
        actor=actor, source=source, by_operator=True, reason=job.reason, reference=job.reference, job_id=job.pk
    )
