"""Imports as jobs: the file is read here, or uploaded and read by a worker; then previewed, and run like any job."""

import datetime as dt
import hashlib
import json
import logging
import tempfile
import zlib
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.access import Actor, Forbidden, NotFound, Permission, require
from accounts.characters import storable
from accounts.fields import parse_id
from accounts.leases import Lease, LostLease
from accounts.models import User

from .. import ledger
from ..errors import Invalid
from ..files.atomic import DAMAGED, BadFile, open_file
from ..files.tables import FileRow, Reading, TableFile, open_table
from ..jobs import cases
from ..jobs.approval import require_reason
from ..jobs.import_rows import summary
from ..models import BulkJob, ImportFile, ImportFilePart, ImportTable, JobKind, JobStatus
from ..rules import Choice
from ..services import layers
from .fields import ImportPlan
from .judging import OPT_OUT
from .known import settle_known
from .similar import refuse_in_file
from .staging import counts, drop_rows, stage

logger = logging.getLogger(__name__)
_PERMISSIONS = {
    ImportTable.ORGANIZATIONS: Permission.ORGANIZATION_CREATE,
    ImportTable.MEMBERS: Permission.MEMBERS_MANAGE,
    ImportTable.SUBSCRIPTIONS: Permission.SUBSCRIPTIONS_MANAGE,
    ImportTable.CHOICES: Permission.CONSENT_CHOOSE,
}
_PART = 1 << 20  # bytes
_PEEKED = 4  # parts of an upload that are read to show its columns
# Longer than the longest statement takes for the largest files that are to be expected.
LEASE = Lease(dt.timedelta(minutes=2))
ENCODING, SEPARATOR, FILE, UNREAD = "encoding", "separator", "file", "unread"  # keys in the job's selection


def prepare(
    *, plan: ImportPlan, actor: Actor, source: str, name: str, reason: str = "", reference: str = "", **more: str
) -> BulkJob:
    """Create a job whose file is still to be read; `name` is the file's name, `more` goes into the selection.

    Raises Forbidden and Invalid; NotFound if FILE is no upload of the actor.
    """
    plan = plan.checked()
    require(actor, _PERMISSIONS[ImportTable(plan.table)], None)
    author = _author(actor)
    if FILE in more:  # checks that it is the actor's
        uploaded_file(more[FILE], actor)
    reason = layers.clean_text(reason, "reason")
    reference = layers.clean_text(reference, "reference", length=layers.REFERENCE_LENGTH)
    if "since" in plan.columns and not reference:
        raise Invalid("required", _("An attested start needs a reference: where it can be looked up."), "reference")
    require_reason(reason, opts_in=plan.default_choice == Choice.OPTED_IN)
    with transaction.atomic():
        layers.hold_plans()  # waits for a change of a default that is under way, and keeps others out
        return BulkJob.objects.create(
            kind=JobKind.IMPORT,
            status=JobStatus.READING,
            table=plan.table,
            source=source,
            reason=reason,
            reference=reference,
            author=author,
            created_at=ledger.clock(),
            selection=plan.to_json() | {"name": storable(name)} | more,
        )


def _author(actor: Actor) -> User:
    if actor.user is None:  # somebody has to look at the rows: a person, not a key
        raise Forbidden(Permission.ORGANIZATION_CREATE)
    return actor.user


def take(job: BulkJob) -> bool:
    """Lease the job for reading its file; returns False if another process has it, or it is not to be read."""
    taken = LEASE.take(_being_read().filter(pk=job.pk))
    if taken is None:
        return False
    job.leased_until, job.fence = taken.leased_until, taken.fence
    return True


def _being_read() -> QuerySet[BulkJob]:
    return BulkJob.objects.filter(status=JobStatus.READING)


def _keep(job: BulkJob, **changes: Any) -> None:
    """Renew the lease and store `changes`. Raises LostLease if the job was stopped, or taken over."""
    LEASE.keep(_being_read(), job, **changes)


def read(job: BulkJob, path: str, on_rows: Callable[[int], None] | None = None) -> BulkJob:
    """Read the file of a leased job, and store the preview.

    Raises BadFile, LostLease; Invalid if an opt-in has no reason, or if an unread column is named like the subject of
    a row.
    """
    plan = ImportPlan.from_json(job.selection)

    def reached(rows: int) -> None:
        _keep(job)
        if on_rows:
            on_rows(rows)

    how = Reading(job.selection.get(ENCODING) or "", job.selection.get(SEPARATOR) or "")
    file = open_table(path, how, wanted=plan.columns.values())
    file.require(*plan.columns.values())
    if unread := plan.unread(file.columns):
        job.selection |= {UNREAD: [storable(column) for column in unread]}
    loosens = stage(job, file, plan, reached)
    _keep(job)
    if plan.table == ImportTable.ORGANIZATIONS:
        settle_known(job, plan, lambda: _keep(job))
        refuse_in_file(job, plan)
        _keep(job)
    opts_in = loosens and not job.reason and _opts_in(job)
    require_reason(job.reason, opts_in=opts_in, told=_("The file opts in, so it needs a reason."))
    found = counts(job)
    job.preview = {cases.CHANGE: found.pop("", 0) + found.pop(OPT_OUT, 0), **found}
    changes = {"loosens": loosens, "preview": job.preview, "matched": job.matched, "digest": _digest(job, path)}
    changes |= {"summary": summary(job), "selection": job.selection}
    _keep(job, **changes, status=JobStatus.PREVIEWED, leased_until=None)
    job.refresh_from_db()
    return job


def _opts_in(job: BulkJob) -> bool:
    return job.import_rows.filter(choice=Choice.OPTED_IN, outcome="").exists()


def _digest(job: BulkJob, path: str) -> str:
    """Hash of the file, of how it is read, and of the preview."""
    # `selection` holds the plan, and how the file is read.
    seen = hashlib.sha256(json.dumps([job.selection, job.reason, job.reference, job.preview], sort_keys=True).encode())
    with open_file(path) as data:
        while piece := data.read(_PART):
            seen.update(piece)
    return seen.hexdigest()


# --- Uploaded ---------------------------------------------------------------------------------------------------------


def upload(*, table: str, name: str, data: Iterable[bytes], actor: Actor) -> ImportFile:
    """Store a file until a worker has read it. Raises Forbidden; Invalid if it is empty.

    Each part is a transaction of its own, so that nobody waits for a large file; `size` is stored after the last one.
    """
    if table not in ImportTable.values:
        raise Invalid("unknown_table", _("There is no table “%s” to import.") % table, "table")
    require(actor, _PERMISSIONS[ImportTable(table)], None)
    author = _author(actor)
    file = ImportFile.objects.create(
        table=table, name=Path(name).name[:200] or "file", uploaded_by=author, created_at=ledger.clock()
    )
    try:
        for number, piece in enumerate(data, start=1):
            ImportFilePart.objects.create(file=file, number=number, data=piece)
            file.size += len(piece)
        if not file.size:
            raise Invalid("empty", _("The file is empty."), "file")
        file.save(update_fields=["size"])
    except BaseException:
        # Each part is committed already, so an interrupted upload is deleted here.
        file.delete()
        raise
    return file


def uploaded_file(ident: str, actor: Actor) -> ImportFile:
    """A file that the actor uploaded. Raises NotFound for files of others: who uploads one must not approve its job."""
    pk = parse_id(ident)
    file = ImportFile.objects.filter(pk=pk, uploaded_by=_author(actor)).first() if pk else None
    if file is None:
        raise NotFound("file")
    return file


def as_path(file: ImportFile, into: str) -> str:
    """Write the uploaded file into the folder `into`; returns its path."""
    path = Path(into) / "uploaded"
    with path.open("wb") as out:
        for part in ImportFilePart.objects.filter(file=file).order_by("number").iterator(4):
            out.write(part.data)
    return str(path)


def peek(file: ImportFile, how: Reading) -> tuple[TableFile, list[FileRow]]:
    """The file's columns and first rows, for choosing columns; reads only its beginning. Raises BadFile."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beginning"
        path.write_bytes(_beginning(file))
        table = open_table(str(path), how)
        return table, list(islice(table, 5))


def _beginning(file: ImportFile) -> bytes:
    """The first parts, unpacked; cut after the last line end, unless they are the whole file."""
    parts = ImportFilePart.objects.filter(file=file).order_by("number")[:_PEEKED]
    data = b"".join(bytes(part.data) for part in parts)
    # A part of a gzip file can be unpacked, but only the whole file can be found damaged.
    whole = len(data) == file.size
    if data.startswith(b"\x1f\x8b"):
        packed = zlib.decompressobj(wbits=31)
        try:
            data = packed.decompress(data, _PEEKED * _PART)
        except zlib.error as error:
            raise BadFile(DAMAGED) from error
        if whole and not packed.eof and not packed.unconsumed_tail:
            raise BadFile(DAMAGED)
        whole = whole and packed.eof and not packed.unused_data
    if whole or b"\n" not in data:
        return data
    end = data.rindex(b"\n") + 1
    return data[: end + end % 2 if b"\x00" in data[:1000] else end]  # UTF-16 ends a line with two bytes


def read_next() -> bool:
    """Read the oldest uploaded file that waits; returns whether there was one. A bad file ends its job.

    Raises OperationalError if the database is away: then the file is read again later.
    """
    job = _take_next()
    if job is None:
        return False
    try:
        with tempfile.TemporaryDirectory() as folder:
            read(job, as_path(_file_of(job), folder))
    except (BadFile, Invalid) as error:
        give_up(job, str(error))
    except LostLease:
        pass  # stopped by somebody, or read by another worker now
    except OperationalError:
        raise
    except Exception as error:
        logger.exception("job %s: its file can't be read", job.pk)
        give_up(job, f"{type(error).__name__}: {error}")  # otherwise every worker would try, and fail, forever
    return True


def _take_next() -> BulkJob | None:
    return LEASE.take(_being_read().filter(selection__has_key=FILE).order_by("pk"))


def _file_of(job: BulkJob) -> ImportFile:
    pk = parse_id(job.selection.get(FILE))
    file = ImportFile.objects.filter(pk=pk).first() if pk else None
    if file is None:
        raise BadFile(_("The uploaded file is no longer kept. Upload it again."))
    return file


def give_up(job: BulkJob, why: str) -> None:
    """Cancel a job whose file can't be read, and store why; unless another process has taken it over."""
    changes = {"status": JobStatus.CANCELLED, "error": storable(why)[:500], "finished_at": ledger.clock()}
    LEASE.release(_being_read(), job, **changes)


def discard(job: BulkJob) -> None:
    """Delete a job that never ran, and all that it has read."""
    drop_rows(job)
    BulkJob.objects.filter(pk=job.pk, started_at=None).delete()
