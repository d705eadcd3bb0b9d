"""Tells a lineage graph of a run of the filter, by events of OpenLineage: what was read, what came out, and the consent
that it rests on.

Needs openlineage-python, which nothing else does. The client of that library is left out: it adds to events what it
finds in the environment, addresses of repositories for example.
"""

import contextlib
import dataclasses
import datetime as dt
import errno
import fcntl
import functools
import hashlib
import os
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import inputs
from .digests import dataset_digest
from .errors import PipelineError, brief
from .report import FilterReport
from .signed import instant
from .snapshot import Snapshot
from .stores import Places
from .targets import require_apart, require_outside, where

try:
    import attr
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import (
        DatasetFacet,
        dataset_version_dataset,
        error_message_run,
        input_statistics_input_dataset,
        output_statistics_output_dataset,
    )
    from openlineage.client.serde import Serde
    from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport
    from openlineage.client.uuid import generate_new_uuid
except ImportError:
    raise PipelineError("--openlineage needs openlineage-python: pip install openlineage-python") from None

PRODUCER = "urn:training-consent:pipeline"
# docs/openlineage-training-consent.json: a name and no address, for each portal is somewhere else.
SCHEMA = "urn:training-consent:openlineage:1-0-0#/$defs/TrainingConsentDatasetFacet"
_OURS: dict[str, Any] = {"producer": PRODUCER}
_OUTPUTS = ("allowed", "denied")
_LINE = 1024 * 1024
_RETRY = {"total": 2, "connect": 2, "read": 2, "backoff_factor": 0.3}


@attr.define(kw_only=True)
class TrainingConsent(DatasetFacet):  # type: ignore[misc]
    """The facet `trainingConsent` of an output: which state of consent it rests on, and what came of that."""

    snapshotPosition: int  # noqa: N815
    snapshotDecidedAt: str  # noqa: N815
    snapshotManifestSha256: str  # noqa: N815
    products: list[str]
    read: int
    allowed: int
    denied: int
    deniedByReason: dict[str, int]  # noqa: N815
    reportSha256: str  # noqa: N815
    warnings: list[str]

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA


def told(
    run: Callable[[], FilterReport],
    *,
    to: str,
    job: str,
    snapshot: Snapshot,
    at: Places,
) -> FilterReport:
    """Run the filter, and tell of it. `to`: a file that events are appended to, or a URL; `at`: where the run reads and
    writes.

    Raises PipelineError: what the filter raises, or nothing was begun. If the end can't be told, the outputs are there,
    and the report has a warning more.
    """
    send = _posting(to) if "://" in to else _appending(_place(to, at, snapshot))
    events = _Events(send=send, job=job, snapshot=snapshot, at=at)
    events.started()
    if events.problem and "://" not in to:  # a wrong name: better said before hours of work
        raise PipelineError(events.problem)
    try:
        found = run()
    except BaseException as error:
        events.failed(error)
        if events.problem and isinstance(error, PipelineError):
            raise type(error)(f"{error} {events.problem}", error.exit_code) from error
        raise
    try:
        events.completed(found)
    except KeyboardInterrupt:  # of telling alone
        events.problem = "It was stopped by Ctrl+C."
    if not events.problem:
        return found
    missed = f"The outputs are there, but a lineage graph does not know that the run has ended. {events.problem}"
    return dataclasses.replace(found, warnings=[*found.warnings, missed])


class _Events:
    """The events of one run. Those that can't be sent are sent before the next one; `problem` says what is left."""

    def __init__(
        self,
        *,
        send: "_Send",
        job: str,
        snapshot: Snapshot,
        at: Places,
    ) -> None:
        self._send, self._snapshot, self._at = send, snapshot, at
        self._outputs = {what: at.dataset(path) for what, path in at.targets.items() if what in _OUTPUTS}
        self._names: dict[tuple[str, str], set[str]] = {}  # of the files of each input
        for each in at.given:
            names = {file.name for file in inputs.find([each])}
            self._names.setdefault(at.dataset(inputs.root_of(each)), set()).update(names)
        self._job = event_v2.Job(namespace=os.environ.get("OPENLINEAGE_NAMESPACE") or "training-consent", name=job)
        self._run = str(generate_new_uuid())
        self._waiting: list[Any] = []
        self.problem = ""

    def started(self) -> None:
        self._tell(event_v2.RunState.START, self._read(None), self._written(None))

    def completed(self, found: FilterReport) -> None:
        self._tell(event_v2.RunState.COMPLETE, self._read(found), self._written(found))

    def failed(self, error: BaseException) -> None:
        stopped = isinstance(error, KeyboardInterrupt)
        message = brief(error.told) if isinstance(error, PipelineError) else type(error).__name__
        facet = error_message_run.ErrorMessageRunFacet(message, "PYTHON", **_OURS)
        state = event_v2.RunState.ABORT if stopped else event_v2.RunState.FAIL
        self._tell(state, self._read(None), self._written(None), {"errorMessage": facet})

    def _tell(self, state: Any, read: list[Any], written: list[Any], facets: dict[str, Any] | None = None) -> None:
        self._waiting.append(
            event_v2.RunEvent(
                eventType=state,
                eventTime=dt.datetime.now(dt.UTC).isoformat(),
                run=event_v2.Run(runId=self._run, facets=facets or {}),
                job=self._job,
                inputs=read,
                outputs=written,
                **_OURS,
            )
        )
        self.problem = ""
        try:
            while self._waiting:
                self._send(self._waiting[0])
                del self._waiting[0]
        except PipelineError as error:
            self.problem = str(error)

    def _read(self, found: FilterReport | None) -> list[Any]:
        position = dataset_version_dataset.DatasetVersionDatasetFacet(str(self._snapshot.position), **_OURS)
        namespace, folder = self._at.dataset(self._snapshot.directory)
        snapshot = event_v2.InputDataset(namespace=namespace, name=folder, facets={"version": position})
        records = []
        for place, names in self._names.items():
            files = [each for each in found.inputs if each["name"] in names] if found else []
            statistics = input_statistics_input_dataset.InputStatisticsInputDatasetFacet
            facets = {"inputStatistics": statistics(**_statistics(files))} if files else {}
            records.append(
                event_v2.InputDataset(namespace=place[0], name=place[1], facets=_version(files), inputFacets=facets)
            )
        return [*records, snapshot]

    def _written(self, found: FilterReport | None) -> list[Any]:
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
        consent = {"trainingConsent": self._consent(found)} if found else {}
        written = []
        for what, place in self._outputs.items():
            files = found.outputs[what] if found else []
            facets = {"outputStatistics": statistics(**_statistics(files))} if files else {}
            written.append(
                event_v2.OutputDataset(
                    namespace=place[0], name=place[1], facets={**_version(files), **consent}, outputFacets=facets
                )
            )
        return written

    def _consent(self, found: FilterReport) -> TrainingConsent:
        return TrainingConsent(
            snapshotPosition=found.snapshot["position"],
            snapshotDecidedAt=instant(found.snapshot["decided_at"]).isoformat(),
            snapshotManifestSha256=found.snapshot["manifest_sha256"],
            products=found.products,
            read=found.read,
            allowed=found.allowed,
            denied=found.denied,
            deniedByReason=found.told_reasons(),
            reportSha256=hashlib.sha256(found.json()).hexdigest(),
            warnings=found.warnings,
            **_OURS,
        )


def _statistics(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    rows, size = (sum(each[key] for each in files) for key in ("rows", "size"))
    return {"rowCount": rows, "size": size, "fileCount": len(files), **_OURS}


def _version(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The digest by which a run's manifest names a dataset."""
    facet = dataset_version_dataset.DatasetVersionDatasetFacet
    return {"version": facet(dataset_digest(files), **_OURS)} if files else {}


# --- Where to -------------------------------------------------------------------------------------------------------

_Send = Callable[[Any], None]  # raises PipelineError if an event can't be sent


def _posting(url: str) -> _Send:
    """Sends events to a URL; to that of a server alone, the usual path is added. Raises PipelineError if it is none."""
    place, config = _configured(url)
    transport = HttpTransport(config)
    session = transport.session
    session.auth = lambda request: request  # the key that is given here, and never one of ~/.netrc
    session.post = functools.partial(session.post, allow_redirects=False)  # to a page that takes everything

    def send(event: Any) -> None:
        try:
            answer = transport.emit(event)
        except Exception as error:  # whatever it is: what was filtered is not lost by it
            answer = getattr(error, "response", None)
            if answer is None:  # not in the words of a library, which has the query or a key in them
                raise PipelineError(f"{place} does not take events: {type(error).__name__}.") from None
        if not 200 <= answer.status_code < 300:
            raise PipelineError(f"{place} does not take events: it answers {answer.status_code}.")

    return send


def _configured(url: str) -> tuple[str, HttpConfig]:
    """How errors call the address, without a query, in which there may be a secret; and how events are sent to it."""
    try:
        parts = urllib.parse.urlsplit(url)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise PipelineError("Events go to a file, or to an address like https://lineage.example.")
    if parts.username is not None or parts.password is not None:
        raise PipelineError("The address for events has a name or a password in it: give a key as OPENLINEAGE_API_KEY.")
    config = HttpConfig(url=url, retry=_RETRY)
    if parts.path not in ("", "/"):
        config.endpoint = ""
    if key := os.environ.get("OPENLINEAGE_API_KEY", "").strip():
        if not (key.isascii() and key.isprintable()):
            raise PipelineError("OPENLINEAGE_API_KEY has characters that no key has: only printable ASCII is sent.")
        config.auth = ApiKeyTokenProvider({"api_key": key})
    return f"{parts.scheme}://{parts.netloc}{parts.path}", config


def _place(to: str, at: Places, snapshot: Snapshot) -> Path:
    """The file for events. Raises PipelineError if it is in the way of what the run reads or writes."""
    if Path(to).is_dir():
        raise PipelineError(f"Events can't be written to {to or '.'}: it is a folder.")
    path = where(to)
    require_apart([path, *map(where, at.targets.values())])
    require_outside([path], at.given, inputs.find(at.given), snapshot.directory)
    return path


def _appending(path: Path) -> _Send:
    """Appends events to a file, which other runs may write to. Raises PipelineError if it is no file for events."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.stat().st_size:
            with path.open("rb") as file:
                if b'"schemaURL"' not in file.readline(_LINE):
                    raise PipelineError(f"{path} is there already, and has no events in it: nothing is added to it.")
    except OSError as error:
        raise PipelineError(f"Events can't be written to {path}: {error.strerror}.") from None

    def send(event: Any) -> None:
        try:
            _append(path, Serde.to_json(event).encode() + b"\n")
        except OSError as error:
            raise PipelineError(f"Events can't be written to {path}: {error.strerror}.") from None

    return send


def _append(path: Path, line: bytes) -> None:
    """Append all of the line or nothing. The library's own writer leaves half a line on a full disk, and mixes the
    lines of several processes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        before = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with contextlib.suppress(OSError):  # a device
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)
