"""Runs a job chunk by chunk: lock, insert the events, update the settings, move the cursor, commit.

Each chunk is one transaction, so a job that is killed at any moment continues at its cursor, and no row is done twice:
once the lease of the killed process has ended, `claim_next` gives the job to another one.
Other writers wait for one chunk at most; its size is adapted to the time that the chunk before took.
"""

import dataclasses
import datetime as dt
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.fields import raw_id, to_micros
from accounts.leases import Lease, LostLease, free
from accounts.models import Plan

from .. import ledger
from ..errors import Refused
from ..models import UNFINISHED, BulkJob, ConsentEvent, ImportTable, JobKind, JobStatus
from ..witness import guard, quarantine
from . import cases, rebinding, rows, telling
from .approval import AUTHORITY_ENDED, may_still_loosen, plans_set_since
from .cases import GroupOutcome, StateGroup
from .origins import origin_of
from .selection import Selection
from .sql import LOCK, UPDATE_SETTINGS, WITHOUT_SETTING, by_event, changed_rows, event_values, note_refusals

# Applies the rows after a job's cursor up to a number, in the chunk's transaction; returns outcome → number of rows.
Apply = Callable[[BulkJob, int], Counter[str]]
LEASE = Lease(dt.timedelta(seconds=10))
TARGET_SECONDS = 0.15
SMALLEST, LARGEST, FIRST = 100, 20_000, 1_000
_NOT_SET = {
    cases.CHANGED_SINCE: gettext_lazy("The plan's default was changed after the preview, so it stays as it is."),
    AUTHORITY_ENDED: gettext_lazy(
        "The plan's default stays as it is: somebody who wrote, submitted or approved this may no longer do so."
    ),
}


class Quarantined(Exception):
    """The database came into quarantine while the job ran: what is done stays so, and it goes on afterwards."""


def waits(job: BulkJob) -> bool:
    """Whether the job stays where it is while the database is in quarantine, because it may let something be used.

    Of imports those of opt-outs go on. New organizations, members and subscriptions, and attested starts, have rows
    that don't say whether what they make is allowed.
    """
    if not guard.quarantined():
        return False
    if job.loosens or job.kind != JobKind.IMPORT:
        return job.loosens
    return job.table != ImportTable.CHOICES or job.import_rows.filter(since__isnull=False).exists()


def claim(job: BulkJob) -> BulkJob:
    """Take the job for this process. Raises Refused if it is over, waits for somebody, or runs in another process."""
    with transaction.atomic():
        job = BulkJob.objects.select_for_update(no_key=True).get(pk=job.pk)
        if waits(job):
            quarantine.refuse()  # what it has done stays
        if job.status not in UNFINISHED:
            raise Refused("status", _("The job can't be run: %s.") % job.get_status_display())
        changes = {"status": JobStatus.RUNNING, "started_at": job.started_at or ledger.clock(), "error": ""}
        taken = LEASE.take(BulkJob.objects.filter(pk=job.pk), **changes)
        if taken is None:
            raise Refused("running", _("The job is being run by another process."))
        job = taken
        if job.kind == JobKind.PLAN_DEFAULT and job.cursor == 0:
            _start_default(job)
    return job


def claim_next() -> BulkJob | None:
    """Claim the oldest job that waits for a worker, or whose worker's lease has ended; None if there is none."""
    waiting = BulkJob.objects.filter(free(), status__in=UNFINISHED)
    for job in waiting.order_by("pk"):
        try:
            return claim(job)
        except Refused:
            continue
    return None


def release(job: BulkJob) -> None:
    """End the lease, so that the next worker need not wait for it."""
    LEASE.release(BulkJob.objects.all(), job)


def run(job: BulkJob, on_chunk: Callable[[BulkJob], None] | None = None) -> BulkJob:
    """Run a claimed job until it is done, paused or stopped; a failure is stored on the job and raised.

    `on_chunk` is called after each chunk. Raises LostLease if another worker has taken the job over, and Quarantined.
    """
    size, since = FIRST, None
    while job.status == JobStatus.RUNNING:
        begun = time.monotonic()
        try:
            job = _chunk(job, size, since)
        except LostLease:
            # Another worker runs it now: it has not failed.
            raise
        except Exception as error:
            if waits(job):
                release(job)
                raise Quarantined from error
            _fail(job, error)
            raise
        since = time.monotonic()
        taken = since - begun
        # Towards TARGET_SECONDS, but in steps of a factor of four at most: one odd measurement must not decide.
        size = int(min(max(size * TARGET_SECONDS / max(taken, 0.001), SMALLEST, size / 4), LARGEST, size * 4))
        if on_chunk:
            on_chunk(job)
    return job


@transaction.atomic
def _chunk(mine: BulkJob, size: int, since: float | None = None) -> BulkJob:
    """`since`: monotonic time at which this worker finished the chunk before; None: it is its first."""
    since = time.monotonic() if since is None else since
    # Locked until the commit: whoever pauses or stops the job waits for the chunk.
    job = LEASE.held(BulkJob.objects.select_for_update(no_key=True), mine).first()
    if job is None:
        raise LostLease
    if job.status != JobStatus.RUNNING:  # paused or stopped meanwhile; the rows that are done stay changed
        job.leased_until = None
        job.save(update_fields=["leased_until"])
        return job
    if waits(job):
        quarantine.refuse()
    last = min(job.cursor + size, job.matched)
    fields = ["leased_until", "cursor", "changed", "unchanged", "refused", "refusals", "first_event", "last_event"]
    fields.append("worked_ms")
    if last > job.cursor:
        _work(job, last)
        job.cursor = last
    job.leased_until = LEASE.end()
    # At least one, because rates are divided by it.
    job.worked_ms += max(1, round((time.monotonic() - since) * 1000))
    if job.cursor >= job.matched:
        job.status, job.finished_at, job.leased_until = JobStatus.DONE, ledger.clock(), None
        fields += ["status", "finished_at"]
    job.save(update_fields=fields)
    return job


def _work(job: BulkJob, last: int) -> None:
    # An import writes its events in several places; they lie between the last ids before and after.
    before = _last_event() if job.kind == JobKind.IMPORT else 0
    outcomes = _APPLY[JobKind(job.kind)](job, last)
    changed, unchanged = outcomes.pop(cases.CHANGE, 0), outcomes.pop(cases.SAME, 0)
    if changed and job.kind == JobKind.IMPORT:
        job.first_event, job.last_event = job.first_event or before + 1, _last_event()
    job.changed += changed
    job.unchanged += unchanged
    job.refused += outcomes.total()
    job.refusals = dict(Counter(job.refusals) + outcomes)


def _apply(job: BulkJob, last: int) -> Counter[str]:
    """Change the rows of a chunk; returns outcome → number of rows. An undo may have several products, in turn."""
    outcomes: Counter[str] = Counter()
    for of, first, end in rows.parts_of(job, job.cursor, last):
        of.cursor = first
        outcomes += _apply_part(of, end)
        job.first_event, job.last_event = of.first_event, of.last_event
    return outcomes


_APPLY: dict[JobKind, Apply] = {
    JobKind.CHOICE: _apply,
    JobKind.PLAN_DEFAULT: _apply,
    JobKind.UNDO: _apply,
    JobKind.REBIND: rebinding.apply,
}


def register(kind: JobKind, apply: Apply) -> None:
    """Let `apply` process the rows of jobs of this kind: for packages that this one must not import."""
    _APPLY[kind] = apply


def _apply_part(job: BulkJob, last: int) -> Counter[str]:
    chunk = (raw_id(job.pk), job.cursor, last)
    with connection.cursor() as cursor:
        without = ledger.Sql(WITHOUT_SETTING, [*chunk, job.product])
        ledger.ensure_settings(without, organization="r.organization_id", product=job.product)
        if connection.vendor == "postgresql":  # in the order in which every writer locks several: no deadlock
            cursor.execute(LOCK, [job.product, *chunk])
        groups = rows.shapes_of(job, job.cursor, last, _obstacle(job))
        # Must not happen: `submit` and `approve` see to it. The constraint of the table can't see rows.
        if job.approver_id is None and any(group.answer.loosens for group in groups):
            raise RuntimeError("this would loosen, and nobody has approved it")
        answers = [(group.shape, group.answer) for group in groups]
        outcomes: Counter[str] = Counter()
        for group in groups:
            outcomes[group.answer.outcome] += group.count
        # Before the change: after it, the rows of an undo look as if somebody had chosen since.
        if set(outcomes) - {cases.CHANGE, cases.SAME}:
            cursor.execute(note_refusals(job, answers), [job.product, job.wanted, *chunk])
        if changed := outcomes[cases.CHANGE]:
            at = ledger.clock(*(group.latest for group in groups))
            _change(cursor, job, answers, last, at=at, expected=changed)
    return outcomes


def _obstacle(job: BulkJob) -> str:
    """Why the job may not loosen anything from now on; '' if it may. Checked before each chunk."""
    if job.approver_id is None:
        return ""
    if job.kind == JobKind.PLAN_DEFAULT:  # the default is set already; its rows follow, unless another job has set it
        return cases.CHANGED_SINCE if job.plan in plans_set_since(job) else ""
    return "" if may_still_loosen(job) else AUTHORITY_ENDED


def _change(
    cursor: Any,
    job: BulkJob,
    answers: list[tuple[StateGroup, GroupOutcome]],
    last: int,
    *,
    at: dt.datetime,
    expected: int,
) -> None:
    stamp, pk = to_micros(at), raw_id(job.pk)
    cursor.execute("SELECT COALESCE(MAX(id), 0) FROM consent_consentevent")
    (before,) = cursor.fetchone()
    given, changed = changed_rows(job, answers)
    inserted = ledger.insert_select(
        ledger.Sql(changed, [job.product, job.wanted, pk, job.cursor, last]),
        given=ledger.Sql(given),
        origin=origin_of(job),
        at=at,
        product=job.product,
        surface=job.surface,
        **event_values(job, at),
    )
    _expect(inserted, expected)
    # Ids grow, so this chunk's events lie above `before`; events of other writers among them have another job.
    cursor.execute("SELECT MAX(id) FROM consent_consentevent")
    (job.last_event,) = cursor.fetchone()
    update = by_event(UPDATE_SETTINGS) if connection.vendor == "sqlite" else UPDATE_SETTINGS
    cursor.execute(update, [before, job.last_event, pk, job.product, stamp])
    _expect(cursor.rowcount, expected)
    job.first_event = job.first_event or before + 1


def _last_event() -> int:
    return ConsentEvent.objects.aggregate(last=Max("pk"))["last"] or 0


def _expect(count: int, expected: int) -> None:
    """Raise, so that the chunk is rolled back, if not exactly the expected rows were changed."""
    if count != expected:
        raise RuntimeError(f"{expected} rows were to change, and {count} did")


def _start_default(job: BulkJob) -> None:
    """Set the plan's default first, so that new subscriptions follow it; then the rows are whoever is subscribed now.

    A default that loosens is set only if no job has set it since the preview, and everybody involved still has the
    authority; otherwise all rows are refused.
    """
    plan = Plan.objects.select_for_update().get(pk=job.plan)  # waits for subscriptions that read the old default
    obstacle = _obstacle_of_default(job)
    if obstacle:
        _refuse_all(job, obstacle)
        return
    plan.training_default = job.wanted
    plan.save(update_fields=["training_default"])
    # In place of the preview's rows: organizations may have started or ended subscriptions since.
    job.rows.all().delete()
    rows.freeze_selection(job, Selection(plan=(job.plan,)))


def _obstacle_of_default(job: BulkJob) -> str:
    return _obstacle(job) or ("" if may_still_loosen(job) else AUTHORITY_ENDED) if job.loosens else ""


def _refuse_all(job: BulkJob, reason: str) -> None:
    job.rows.update(refusal=reason)
    job.cursor, job.refused, job.refusals = job.matched, job.matched, {reason: job.matched} if job.matched else {}
    job.error = str(_NOT_SET[reason])
    job.save(update_fields=["cursor", "refused", "refusals", "error"])


def _fail(job: BulkJob, error: Exception) -> None:
    why = f"{type(error).__name__}: {error}"[:500]
    running = BulkJob.objects.filter(status=JobStatus.RUNNING)
    with transaction.atomic():
        # Only if it still runs here: a job that was paused, stopped or taken over meanwhile keeps its state.
        if LEASE.release(running, job, status=JobStatus.FAILED, error=why):
            telling.tell_failed(job)


@dataclasses.dataclass(frozen=True)
class Progress:
    done: int
    total: int
    rate: float
    eta: float | None


def progress(job: BulkJob) -> Progress:
    """Rows done, all rows, rows per second of work, and the seconds left at that rate."""
    rate = job.cursor / job.worked_ms * 1000 if job.worked_ms else 0
    left = job.matched - job.cursor
    return Progress(job.cursor, job.matched, rate, left / rate if rate and not job.is_over else None)
