"""Filters records by a snapshot of consent: what may be used, what may not and why, each row exactly once.

Files are judged in batches, so that many small ones share one join, and then copied one by one.
"""

import contextlib
import dataclasses
import itertools
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ..rules import Reason
from . import columns as columns_
from . import types
from .copying import copy
from .croissant import Described, describe, require_above
from .digests import sha256_of
from .engine import Engine, Judged, Read, Source
from .errors import PipelineError, brief, kind, missing, quoting
from .inputs import Format, Input, find, format_of
from .records import Layout, layout
from .report import PRIVATE, UNREADABLE_ROW, FilterReport, summed
from .sinks import Written
from .snapshot import Snapshot
from .staging import stage
from .stores import Places, places
from .targets import require_ended, require_outside, where
from .types import Fields
from .workspace import Workspace

try:
    import duckdb
    import pyarrow as pa
except ImportError as error:
    raise missing(error) from None

ALLOWED, DENIED = "allowed", "denied"
CROISSANT, REPORT = "croissant", "report"  # told about them
MAX_UNKNOWN = 0.01
_BATCH_ROWS = 32_000_000  # judged by one join: so many make up for building its tables
_BATCH_FILES = 10_000
# Unknown ids, of which a few are normal, and many mean a wrong column.
_UNKNOWN = (Reason.UNKNOWN_ORGANIZATION, Reason.UNKNOWN_MEMBER)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a run was told beside its files; see `filter_records`. Raises PipelineError for what makes no sense."""

    memory: str = "1GB"
    threads: int | None = None
    assume_utc: bool = False
    max_unknown: float = MAX_UNKNOWN
    full_reasons: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise PipelineError("At least one thread is needed.")
        if not 0 <= self.max_unknown <= 1:
            raise PipelineError("The share of unknown ids is given like 1%, or between 0 and 1.")


class _Job(NamedTuple):
    """A file that is filtered in this run, and where its rows are."""

    input: Input
    sha256: str
    source: Source


def filter_records(
    inputs: str | Path | Sequence[str | Path],
    *,
    snapshot: Snapshot,
    allowed: str | Path,
    denied: str | Path | None = None,
    report: str | Path | None = None,
    croissant: str | Path | None = None,
    columns: str | Iterable[str] | Mapping[str, str] | None = None,
    ids: str = columns_.UUID,
    filesystem: str | None = None,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FilterReport:
    """Filter files of records by a snapshot; returns what came of it, after everything has been written.

    `inputs`: files, folders and globs of Parquet, JSON Lines or CSV, all of one format. `allowed`, `denied`: a file,
    if the name ends like one and there is one input, else a folder with a file for each; they must not be there.
    `croissant`: a file for a description of what is allowed, above or beside it.
    `columns` as in `columns.parse`; `ids`: what ids the columns have that say nothing else. `filesystem`: what fsspec
    calls the store of paths like `s3://…`. `progress` is called with the number of files that are done and of all.

    Raises PipelineError; then nothing has a final name, but for what the message of a `Left` names. `exit_code` of the
    report is 3 if nothing was read, or more than `max_unknown` of the ids are unknown: look at it before using the
    outputs.
    """
    options = options or Options()
    given = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    targets = {ALLOWED: allowed, DENIED: denied, CROISSANT: croissant, REPORT: report}
    wanted = columns_.parse(columns, ids)
    with places(filesystem, given, targets, resume=options.resume) as at:
        return filter_at(at, snapshot, wanted, options, progress)


def filter_at(
    at: Places,
    snapshot: Snapshot,
    wanted: columns_.Columns,
    options: Options,
    progress: Callable[[int, int], None] | None = None,
) -> FilterReport:
    """As `filter_records`, for whoever has made the places and parsed the columns, before anything is fetched."""
    with at.named():
        return _filtered(at, snapshot, wanted, options, progress or (lambda _done, _all: None))


def _filtered(
    at: Places,
    snapshot: Snapshot,
    wanted: columns_.Columns,
    options: Options,
    progress: Callable[[int, int], None],
) -> FilterReport:
    started = time.monotonic()
    outputs, beside = _where(at, (ALLOWED, DENIED)), _where(at, (CROISSANT, REPORT))
    files = find(at.given)
    single = _is_single(outputs, files)
    require_ended(outputs.values(), files)
    require_outside([*outputs.values(), *beside.values()], at.given, files, snapshot.directory)
    fields = types.resolve(files, wanted, assume_utc=options.assume_utc)
    if CROISSANT in beside:
        _require_above(at, beside[CROISSANT], outputs[ALLOWED])
    run = _Run(snapshot, fields, wanted, options, outputs, beside, single)
    try:
        with Workspace(outputs, list(beside.values()), single=single) as work:
            entries = run.filter(files, work, progress)
            found = run.report(entries, time.monotonic() - started)
            names = {what: [each["name"] for each in written] for what, written in found.outputs.items()}
            at.require_unchanged()
            work.commit(run.texts(found, work), names, at)
    except OSError as error:
        told = f"The outputs can't be written: {kind(error)}."
        raise PipelineError(f"The outputs can't be written: {error.strerror or brief(error)}.", 1, told=told) from error
    except pa.ArrowException as error:  # of a type that it reads, and does not copy
        raise quoting("The records can't be copied", error, 1) from error
    return found


def _where(at: Places, wanted: Iterable[str]) -> dict[str, Path]:
    return {what: where(at.targets[what]) for what in wanted if what in at.targets}


def _is_single(outputs: Mapping[str, Path], files: Sequence[Input]) -> bool:
    """Whether the outputs are files; else folders. Raises PipelineError if they can't be what their names say."""
    named = {what: format_of(path) for what, path in outputs.items()}
    if not any(named.values()):
        return False
    for what, path in outputs.items():
        found = named[what]
        if found is None or found[0] is not files[0].format:
            raise PipelineError(f"{path} gets what is in files of {files[0].format}: end its name like theirs.")
    if len(files) > 1:
        raise PipelineError(f"There are {len(files)} files to filter: {outputs[ALLOWED]} has to be a folder.")
    return True


def _require_above(at: Places, described: Path, allowed: Path) -> None:
    # A folder on this machine may be above the mirror of a store.
    if at.dataset(described)[0] != at.dataset(allowed)[0]:
        raise PipelineError(f"{described} describes {allowed}: put it on the same store, beside that or above.")
    require_above(described, allowed)


@dataclasses.dataclass(frozen=True)
class _Run:
    snapshot: Snapshot
    fields: Fields
    wanted: columns_.Columns
    options: Options
    outputs: Mapping[str, Path]
    beside: Mapping[str, Path]
    single: bool

    def filter(
        self, files: Sequence[Input], work: Workspace, progress: Callable[[int, int], None]
    ) -> list[dict[str, Any]]:
        """What came of each file, in their order."""
        resumed = work.begin(self.fingerprint(), resume=self.options.resume)
        done = {entry["input"]["name"]: entry for entry in resumed}
        engine = Engine(
            self.snapshot,
            self.fields,
            scratch=work.scratch,
            memory=self.options.memory,
            threads=self.options.threads,
            assume_utc=self.options.assume_utc,
        )
        with engine, _workers(engine.copies_at_once) as pool:
            for batch in self._batches(files, done, work):
                for entry in self._filter_batch(engine, pool, batch, work):
                    done[entry["input"]["name"]] = entry
                    work.note(entry)
                    progress(len(done), len(files))
        for each in files:
            each.require_unchanged()
        return [done[each.name] for each in files]

    def fingerprint(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot.manifest_sha256,
            "columns": {field: str(column) for field, column in self.wanted.items()},
            "options": [self.options.assume_utc, self.options.full_reasons],
            "outputs": {what: str(path) for what, path in self.outputs.items()},
        }

    def _batches(
        self, files: Sequence[Input], done: dict[str, dict[str, Any]], work: Workspace
    ) -> Iterator[list[_Job]]:
        """The files that are not done, as many together as one join takes."""
        batch: list[_Job] = []
        rows = 0
        for n, each in enumerate(files):
            with types.readable(each.path):
                sha256 = sha256_of(each.path)
            entry = done.pop(each.name, None)
            if entry and entry["input"]["sha256"] == sha256 and self._is_whole(entry, each, work):
                done[each.name] = entry
                continue
            batch.append(_Job(each, sha256, self._source(each, work.scratch / f"staged-{n}.parquet")))
            rows += batch[-1].source.rows
            if rows >= _BATCH_ROWS or len(batch) == _BATCH_FILES:
                yield batch
                batch, rows = [], 0
        if batch:
            yield batch

    def _source(self, each: Input, staged: Path) -> Source:
        if each.format is not Format.PARQUET:
            return Source(staged, stage(each, self.fields, staged), each.partitions, staged=True)
        return Source(each.path, types.parquet_rows(each.path), each.partitions)

    def _name(self, what: str, each: Input) -> str:
        return self.outputs[what].name if self.single else each.name

    def _is_whole(self, entry: dict[str, Any], each: Input, work: Workspace) -> bool:
        """Whether the files that an earlier run wrote are as it noted."""
        paths = {what: work.place(what, self._name(what, each)) for what in self.outputs}
        return all(
            path.is_file() and sha256_of(path) == entry["outputs"][what]["sha256"] for what, path in paths.items()
        )

    def _filter_batch(
        self, engine: Engine, pool: Executor, batch: Sequence[_Job], work: Workspace
    ) -> Iterator[dict[str, Any]]:
        """Judge all files of a batch, and copy several at a time."""
        # A file without rows was not staged.
        full = [job for job in batch if job.source.rows]
        read, judged = engine.judge([job.source for job in full]) if full else ([], [])
        by_file = {f: list(same) for f, same in itertools.groupby(judged, key=lambda each: each.file)}
        numbers = {job.input.name: n for n, job in enumerate(full)}

        def copied(job: _Job) -> dict[str, Any]:
            n = numbers.get(job.input.name)
            if n is None:
                return self._entry(job, Read(0, 0, 0), [], self._write(self._layout(job), iter(()), work))
            written = self._write(self._layout(job), engine.verdicts(n), work)
            job.input.require_unchanged()
            if job.source.staged:
                job.source.path.unlink()
            return self._entry(job, read[n], by_file[n], written)

        yield from pool.map(copied, batch)

    def _layout(self, job: _Job) -> Layout:
        nothing = job.source.staged and not job.source.rows
        return layout(job.input, None if nothing else job.source.path, self.fields)

    def _write(self, laid: Layout, verdicts: Iterator[Any], work: Workspace) -> dict[str, Written]:
        owners = types.owners(self.fields)
        with contextlib.ExitStack() as closing:
            sinks = {}
            for what, final in self.outputs.items():
                name = self._name(what, laid.input)
                path = work.place(what, name)
                path.unlink(missing_ok=True)  # of a run that did not end
                packed = format_of(final) if self.single else None
                compression = packed[1] if packed else laid.input.compression
                sinks[what] = closing.enter_context(
                    laid.sink(path, name, compression, denied=what == DENIED, owners=owners)
                )
            private = () if self.options.full_reasons else PRIVATE
            copy(laid, verdicts, allowed=sinks[ALLOWED], denied=sinks.get(DENIED), private=private)
        return {what: sink.written() for what, sink in sinks.items()}

    def _entry(self, job: _Job, read: Read, judged: Sequence[Judged], written: Mapping[str, Written]) -> dict[str, Any]:
        """What a file came to. Raises PipelineError if the rows that were written are not those that were read."""
        allowed = sum(each.rows for each in judged if each.reason is None)
        denied = sum(each.rows for each in judged if each.reason is not None)
        expected = {ALLOWED: allowed, DENIED: denied}
        if allowed + denied != read.rows or any(each.rows != expected[what] for what, each in written.items()):
            raise PipelineError(
                f"{job.input.path}: of {read.rows} rows {allowed} were allowed and {denied} denied, and"
                " something else was written.",
                70,
            )
        unknown = sum(each.rows for each in judged if each.reason in _UNKNOWN and not each.late)
        return {
            "input": {"name": job.input.name, "size": job.input.stamp.size, "rows": read.rows, "sha256": job.sha256},
            "outputs": {what: each._asdict() for what, each in written.items()},
            "counts": summed(self._told(each) for each in judged),
            "read": read._asdict(),
            "allowed": allowed,
            "denied": denied,
            "unknown": unknown,
        }

    def _told(self, judged: Judged) -> dict[str, Any]:
        reason = judged.reason
        if reason in PRIVATE and not self.options.full_reasons:
            reason = Reason.MEMBER_PRIVATE.value
        return {"product": judged.product, "data_kind": judged.data_kind, "reason": reason, "rows": judged.rows}

    def report(self, entries: Sequence[dict[str, Any]], seconds: float) -> FilterReport:
        counts = summed(count for entry in entries for count in entry["counts"])
        read = sum(entry["read"]["rows"] for entry in entries)
        unknown = sum(entry["unknown"] for entry in entries)
        return FilterReport(
            snapshot={
                "position": self.snapshot.position,
                "decided_at": self.snapshot.decided_at,
                "manifest_sha256": self.snapshot.manifest_sha256,
            },
            inputs=[entry["input"] for entry in entries],
            outputs={what: [entry["outputs"][what] for entry in entries] for what in self.outputs},
            counts=counts,
            read=read,
            allowed=sum(entry["allowed"] for entry in entries),
            denied=sum(entry["denied"] for entry in entries),
            noncanonical_ids=sum(entry["read"]["noncanonical_ids"] for entry in entries),
            unreadable_instants=sum(entry["read"]["unreadable_instants"] for entry in entries),
            unreadable_rows=sum(each["rows"] for each in counts if each["reason"] == UNREADABLE_ROW),
            columns={field: str(column) for field, column in self.wanted.items() if field in self.fields},
            versions=versions(),
            seconds=round(seconds, 3),
            warnings=list(self._warnings(read, unknown)),
        )

    def texts(self, found: FilterReport, work: Workspace) -> dict[Path, bytes]:
        """What is written beside the outputs, in the order in which it gets its name."""
        return {
            path: self._croissant(found, work) if what == CROISSANT else found.json()
            for what, path in self.beside.items()
        }

    def _croissant(self, found: FilterReport, work: Workspace) -> bytes:
        """The description of what is allowed, whose files don't have their final names yet."""
        allowed = self.outputs[ALLOWED]
        files = []
        for each in found.outputs[ALLOWED]:
            final = allowed if self.single else allowed / each["name"]
            files.append(Described(each, work.place(ALLOWED, each["name"]), final))
        return describe(found, files, self.beside[CROISSANT], allowed)

    def _warnings(self, read: int, unknown: int) -> Iterator[str]:
        if not read:
            yield "No records were read."
        elif unknown > read * self.options.max_unknown:
            yield (
                f"{unknown:,} of {read:,} records name an organization or a member that is unknown, more than"
                f" {self.options.max_unknown:.2%}: is a column the wrong one?"
            )


@contextlib.contextmanager
def _workers(number: int) -> Iterator[Executor]:
    """Threads: Arrow and DuckDB let go of the interpreter. If one fails, the others end before anything is cleared."""
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def versions() -> dict[str, str]:
    """What has filtered: its parts, which a report names."""
    return {"python": platform.python_version(), "duckdb": duckdb.__version__, "pyarrow": pa.__version__}
