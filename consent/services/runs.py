"""Training runs: registered from the reports of the filter that chose their data, with a signed manifest; retired."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from accounts import characters
from accounts.access import Actor, NotFound, Permission, require
from accounts.fields import parse_id

from .. import ledger
from ..errors import Invalid, Refused, Unprocessable
from ..models import EventKind, OpenRemoval, RemovalCursor, RunFile, RunRetirement, TrainingRun
from ..pipeline import digests
from ..witness import quarantine
from . import filter_reports, layers, run_manifests, trail
from .filter_reports import Report

NAME_LENGTH: int = TrainingRun._meta.get_field("name").max_length or 0
ID_LENGTH: int = TrainingRun._meta.get_field("external_id").max_length or 0
MAX_REPORTS = 1_000
_EXTERNAL = "external:"


@dataclasses.dataclass(frozen=True)
class Registered:
    """The run, and whether it is new: the same data registered again under its external id is the run that there is."""

    run: TrainingRun
    new: bool


def get_run(actor: Actor, ident: object, permission: Permission = Permission.PIPELINE_READ) -> TrainingRun:
    """The run with this id, or `external:` and its external id. Raises Forbidden, NotFound."""
    require(actor, permission, None)
    rows = TrainingRun.objects.visible_to(actor).select_related("retirement")
    text = str(ident)
    if text.startswith(_EXTERNAL):
        found = rows.filter(external_id=text.removeprefix(_EXTERNAL)).first()
    else:
        found = rows.filter(pk=pk).first() if (pk := parse_id(ident)) else None
    if found is None:
        raise NotFound("training run")
    return found


def register(
    *,
    name: str,
    reports: Sequence[object],
    actor: Actor,
    source: str,
    external_id: str | None = None,
    purpose: str = "",
) -> Registered:
    """Register a run whose data are the allowed files of these reports, each filtered by a snapshot of its own.

    Raises Forbidden; Invalid for what is no report; Unprocessable for numbers that don't add up, a position that the
    ledger has not reached, or a snapshot that the portal has not made; Refused for an external id of other data, and
    without a key to sign the manifest; Unavailable in quarantine.
    """
    require(actor, Permission.RUNS_MANAGE, None)
    quarantine.require_whole()  # the manifest opens the data
    read = _read(reports)
    run = _described(read)
    run.name = _named(name)
    run.purpose = layers.clean_text(purpose, "purpose")
    run.external_id = layers.clean_text(external_id or "", "external_id", length=ID_LENGTH) or None
    # What has happened has its position before anybody compares with it.
    ledger.sequence()
    if run.last_position > ledger.head():
        text = _("The data was filtered at position %(position)s, which the ledger has not reached.")
        raise Unprocessable("beyond_head", text % {"position": run.last_position}, "reports")
    filter_reports.require_made({f"reports/{n}": report for n, report in enumerate(read)})
    if there := _same(run):
        return Registered(there, new=False)
    run.registered_at, run.registered_by = ledger.clock(), actor.person
    files = [
        RunFile(run=run, position=report.snapshot.position, **file._asdict())
        for report in read
        for file in report.allowed_files
    ]
    run.manifest = run_manifests.sign(run, files)
    try:
        with transaction.atomic():
            run.save()
            RunFile.objects.bulk_create(files, batch_size=1_000)
            RemovalCursor.objects.create(run=run, position=run.snapshot_position, looked_at=run.registered_at)
            trail.note(EventKind.RUN_REGISTERED, organization=None, actor=actor, source=source, target=run.pk)
    except IntegrityError:
        # Somebody registered it at the same time.
        if there := _same(run):
            return Registered(there, new=False)
        raise
    return Registered(run, new=True)


def _named(name: str) -> str:
    found: str = layers.clean_text(name, "name", required=True, length=NAME_LENGTH)
    if not characters.has_visible(found):
        raise Invalid("invalid", _("A name needs at least one visible character."), "name")
    return found


def require_later(run: TrainingRun, position: int) -> None:
    """Raise Unprocessable if a snapshot is earlier than the ones that the run's data was filtered by."""
    if position < run.last_position:
        text = _("The snapshot is of position %(position)s, and data of the run was filtered at %(last)s.")
        raise Unprocessable("too_early", text % {"position": position, "last": run.last_position}, "snapshot")


def others(run: TrainingRun, files: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of those files, described as in a report, that are not of the run's data."""
    own = set(run.files.values_list("sha256", flat=True))
    return [str(file["name"]) for file in files if file["sha256"] not in own]


def _read(reports: Sequence[object]) -> list[Report]:
    if not 1 <= len(reports) <= MAX_REPORTS:
        raise Invalid("invalid", _("Give from 1 to %s reports.") % MAX_REPORTS, "reports")
    read = [filter_reports.read_report(each, f"reports/{n}") for n, each in enumerate(reports)]
    names = Counter(file.name for report in read for file in report.allowed_files)
    if twice := [name for name, number in names.items() if number > 1]:
        text = _("Two of the run's files have the same name: %(name)s.") % {"name": twice[0]}
        raise Unprocessable("inconsistent", text, "reports")
    return read


def _described(read: Sequence[Report]) -> TrainingRun:
    """A run, not stored yet, with all that its reports say."""
    counts = Counter[tuple[Any, ...]]()
    for report in read:
        for product, kind, reason, rows in report.counts:
            counts[product, kind, reason] += rows
    positions = [report.snapshot.position for report in read]
    files = [file._asdict() for report in read for file in report.allowed_files]
    return TrainingRun(
        snapshot_position=min(positions),
        last_position=max(positions),
        snapshots=[snapshot._asdict() for snapshot in sorted({report.snapshot for report in read})],
        dataset_digest=digests.dataset_digest(files),
        report_digest=filter_reports.digest_of(read),
        counts=[
            {"product": product, "data_kind": kind, "reason": reason, "rows": rows}
            for (product, kind, reason), rows in sorted(counts.items(), key=lambda each: tuple(map(str, each[0])))
        ],
        inputs=[file._asdict() for report in read for file in report.inputs],
        allowed=sum(report.allowed for report in read),
        denied=sum(report.denied for report in read),
    )


def _same(run: TrainingRun) -> TrainingRun | None:
    """The run that has this external id already, if its data is the same; raises Refused if it is other data."""
    if run.external_id is None:
        return None
    there = TrainingRun.objects.select_related("retirement").filter(external_id=run.external_id).first()
    if there is None:
        return None
    if (there.dataset_digest, there.report_digest) != (run.dataset_digest, run.report_digest):
        text = _("Another run is registered as “%(value)s”: its data, or what it was filtered from, is not the same.")
        raise Refused("exists", text % {"value": run.external_id}, "external_id")
    return there


@transaction.atomic
def retire(*, run: TrainingRun, reason: str, actor: Actor, source: str) -> TrainingRun:
    """Say that the model is no longer in use: no removals are asked for any more. Once retired, it stays so.

    Raises Forbidden, Invalid without a reason.
    """
    require(actor, Permission.RUNS_MANAGE, None)
    reason = layers.clean_text(reason, "reason", required=True)
    held = lock(run)
    if held.is_retired:
        return held
    RunRetirement.objects.create(run=held, retired_at=ledger.clock(), retired_by=actor.person, reason=reason)
    OpenRemoval.objects.filter(batch__run=held).delete()
    RemovalCursor.objects.filter(run=held).delete()
    trail.note(EventKind.RUN_RETIRED, organization=None, actor=actor, source=source, target=held.pk, reason=reason)
    return TrainingRun.objects.select_related("retirement").get(pk=held.pk)


def lock(run: TrainingRun) -> TrainingRun:
    """The run as stored now, locked until the end of the transaction, so that batches and retirement come in turn."""
    return TrainingRun.objects.select_for_update(of=("self",), no_key=True).select_related("retirement").get(pk=run.pk)
