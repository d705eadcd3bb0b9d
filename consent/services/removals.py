"""Removals: what has to go from a training run since its data was filtered, in batches that somebody acknowledges.

A run's batches follow each other without a gap. Which keys a run holds is known only to whoever has its data; so every
key is listed that an event was about, if any of its records could have been used when the data was filtered.
"""

import datetime as dt

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import Actor, NotFound, Permission, require
from accounts.fields import parse_id

from .. import ledger
from ..errors import Invalid, Refused, Unprocessable
from ..models import (
    EventKind,
    OpenRemoval,
    RemovalAcknowledgement,
    RemovalBatch,
    RemovalCursor,
    Restore,
    Source,
    TrainingRun,
)
from ..notices.catalogue import Notice
from ..notices.sending import portal_url, send
from ..witness import quarantine
from . import filter_reports, layers, trail
from .credentials import readers
from .removal_entries import Range, totals_of
from .runs import lock

EVERY = dt.timedelta(hours=1)
_LARGEST = 2**63 - 1
_EVIDENCE_LENGTH: int = RemovalAcknowledgement._meta.get_field("evidence").max_length or 0
_NOTE_LENGTH: int = RemovalAcknowledgement._meta.get_field("note").max_length or 0


def range_of(run: TrainingRun, batch: RemovalBatch | None = None) -> Range:
    """The positions that a batch is about, or without one all since the run's data was filtered, up to now."""
    if batch is not None:
        return _range(run, batch.from_position, batch.to_position)
    quarantine.require_whole()
    ledger.sequence()
    return _range(run, run.snapshot_position, ledger.head())


def _range(run: TrainingRun, after: int, until: int) -> Range:
    """The positions after `after` up to `until`; all up to there, if in between a restore was adopted that has lost
    what the run's data was filtered by: then the entries say of every key what of it may be kept.
    """
    positions = set(run.files.values_list("position", flat=True))
    for lost in Restore.objects.filter(lost_to__gte=after, lost_to__lt=until):
        if any(lost.restored_to < position <= lost.lost_to for position in positions):
            return Range(0, until, run.last_position, everybody=True)
    return Range(after, until, run.last_position)


def get_batch(run: TrainingRun, ident: object) -> RemovalBatch:
    """The run's batch with this id; the caller has checked the permission. Raises NotFound."""
    pk = parse_id(ident)
    found = pk and run.batches.select_related("run__retirement", "acknowledgement").filter(pk=pk).first()
    if not found:
        raise NotFound("removal")
    return found


# --- Issuing ----------------------------------------------------------------------------------------------------------


def issue(*, run: TrainingRun, actor: Actor, source: str) -> RemovalBatch | None:
    """Make the run's next batch now, if anything has to go since the last; None if not. Raises Forbidden; Refused if
    the run is retired.
    """
    require(actor, Permission.RUNS_MANAGE, None)
    if run.is_retired:
        raise Refused("retired", _("The run is retired: nothing has to be removed from it any more."))
    return _issue(run, actor, source)


def issue_next() -> bool:
    """For the worker: look at the run whose turn it is, an hour after the last time; returns whether there was one."""
    now = ledger.clock()
    cursors = RemovalCursor.objects.filter(looked_at__lte=now - EVERY).select_related("run__retirement")
    cursor = cursors.order_by("looked_at").first()
    if cursor is None:
        return False
    # Whoever moves the instant on has the turn; should it end in the middle, there is the next one.
    if RemovalCursor.objects.filter(pk=cursor.pk, looked_at=cursor.looked_at).update(looked_at=now):
        _issue(cursor.run, Actor.system(), Source.COMMAND)
    return True


def _issue(run: TrainingRun, actor: Actor, source: str) -> RemovalBatch | None:
    quarantine.require_whole()
    ledger.sequence()
    head = ledger.head()
    cursor = RemovalCursor.objects.filter(run=run).first()
    if cursor is None or cursor.position >= head:
        return None
    # Outside the transaction, because it may take long: up to `head` nothing changes any more. What the cursor has
    # passed over without a batch has no entries, now as then.
    totals = totals_of(_range(run, cursor.position, head))
    with transaction.atomic():
        held = lock(run)
        # Another process may have made the batch, or retired the run, meanwhile.
        if not RemovalCursor.objects.filter(run=held, position=cursor.position).update(position=head):
            return None
        if not totals.entries:
            return None
        last = held.batches.order_by("-number").first()
        at = ledger.clock()
        batch = RemovalBatch.objects.create(
            run=held,
            number=last.number + 1 if last else 1,
            from_position=last.to_position if last else held.snapshot_position,
            to_position=head,
            entries=totals.entries,
            counts=totals.counts,
            digest=totals.digest,
            issued_at=at,
            due_at=at + dt.timedelta(days=settings.REMOVAL_DEADLINE_DAYS),
        )
        OpenRemoval.objects.create(batch=batch, due_at=batch.due_at)
        told = f"{held.pk}, {batch.entries}"
        trail.note(EventKind.REMOVAL_ISSUED, organization=None, actor=actor, source=source, target=batch.pk, after=told)
    return batch


# --- What is overdue --------------------------------------------------------------------------------------------------


def overdue() -> int:
    """How many batches are overdue."""
    return OpenRemoval.objects.filter(due_at__lte=timezone.now()).count()


def most_overdue(number: int) -> list[RemovalBatch]:
    """The batches that are overdue the longest, each with its run."""
    late = OpenRemoval.objects.filter(due_at__lte=timezone.now()).select_related("batch__run")
    return [each.batch for each in late.order_by("due_at")[:number]]


@transaction.atomic
def tell_next_overdue() -> bool:
    """Mail operators about the next batch that has become overdue; returns whether there was one.

    Of each run once, until nothing of it is overdue any more: there may be a batch each hour.
    """
    late = OpenRemoval.objects.filter(due_at__lte=ledger.clock())
    waiting = late.filter(told_at=None).select_related("batch__run").order_by("due_at")
    found = waiting.select_for_update(skip_locked=True, of=("self",)).first()
    if found is None:
        return False
    run = found.batch.run
    known = late.filter(batch__run=run).exclude(told_at=None).exists()
    late.filter(batch__run=run, told_at=None).update(told_at=ledger.clock())
    if not known:
        send(
            Notice.REMOVAL_OVERDUE,
            readers(None),
            gettext_lazy("Overdue: removal from the training run %(run)s"),
            run=run.name,
            number=found.batch.number,
            due_at=found.due_at,
            url=portal_url("admin:consent_trainingrun_change", run.pk),
        )
    return True


# --- Acknowledging ----------------------------------------------------------------------------------------------------


@transaction.atomic
def acknowledge(
    *,
    batch: RemovalBatch,
    removed: int,
    actor: Actor,
    source: str,
    evidence: str = "",
    note: str = "",
    report: object = None,
) -> RemovalAcknowledgement:
    """Say that a batch was applied, and how many records went. The same again writes nothing.

    `report`: of filtering what is left, at or after the batch's end; it has to deny nothing, and then the word is
    verified. Raises Forbidden, Invalid, Unprocessable for another report; Refused if the run is retired, or something
    else was said of the batch before.
    """
    require(actor, Permission.RUNS_MANAGE, None)
    if type(removed) is not int or not 0 <= removed <= _LARGEST:
        text = _("Give a number from %(least)s to %(most)s.") % {"least": 0, "most": _LARGEST}
        raise Invalid("invalid", text, "removed")
    evidence = layers.clean_text(evidence, "evidence", length=_EVIDENCE_LENGTH)
    note = layers.clean_text(note, "note", length=_NOTE_LENGTH)
    verified = report is not None and _verified(batch, report, removed)
    run = lock(batch.run)
    said = {"removed": removed, "evidence": evidence, "note": note, "verified": verified}
    there = RemovalAcknowledgement.objects.filter(batch=batch).first()
    if there is not None:
        if {name: getattr(there, name) for name in said} == said:
            return there
        raise Refused("acknowledged", _("This removal has been acknowledged already, otherwise."))
    if run.is_retired:
        raise Refused("retired", _("The run is retired: nothing has to be removed from it any more."))
    made = RemovalAcknowledgement.objects.create(
        batch=batch, acknowledged_at=ledger.clock(), acknowledged_by=actor.person, **said
    )
    OpenRemoval.objects.filter(batch=batch).delete()
    trail.note(
        EventKind.REMOVAL_ACKNOWLEDGED,
        organization=None,
        actor=actor,
        source=source,
        target=batch.pk,
        after=str(run.pk),
    )
    return made


def _verified(batch: RemovalBatch, report: object, removed: int) -> bool:
    """Whether a report proves it: always True. Raises Invalid, Unprocessable with what the report lacks.

    What is left has other files than the run had, so their digests don't tell whether it is the run's data; but there
    can't be more records than it had, without those that went.
    """
    read = filter_reports.read_report(report)
    left = batch.run.allowed - removed
    if read.allowed + read.denied > left:
        text = _("The report is of %(read)s records, and of the run's data at most %(left)s are left.")
        raise Unprocessable(
            "inconsistent", text % {"read": read.allowed + read.denied, "left": max(left, 0)}, "report/read"
        )
    if read.snapshot.position < batch.to_position:
        text = _("The report is of position %(position)s, and the removal reaches to %(end)s.")
        raise Unprocessable(
            "too_early",
            text % {"position": read.snapshot.position, "end": batch.to_position},
            "report/snapshot/position",
        )
    filter_reports.require_made({"report": read})
    if read.forbidden:
        text = _("By this report %(number)s records of the data may still not be used.")
        raise Unprocessable("records_left", text % {"number": read.forbidden}, "report/counts")
    return True
