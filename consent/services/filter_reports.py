"""Reports of the filter of records, read strictly: a run is what they say, so what contradicts itself is refused."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from accounts.fields import to_micros

from ..errors import Invalid, Unprocessable
from ..models import SnapshotMade
from ..pipeline.digests import canonical_json
from ..pipeline.report import UNREADABLE_ROW
from ..rules import Reason

FORMAT = 1
_LARGEST = 2**63 - 1
_DIGITS = frozenset("0123456789abcdef")
# Why a record is not used; what is in no form of a record has a reason of its own.
REASONS = (*(reason.value for reason in Reason), UNREADABLE_ROW)
# Reasons that keep records out for now: what was let in earlier is not removed for these.
_WAITING = (Reason.COOLING_OFF, Reason.NOT_YET_KNOWN)
MAX_FILES = 100_000

Json = Mapping[str, Any]


class File(NamedTuple):
    name: str
    rows: int
    size: int
    sha256: str


class SnapshotRead(NamedTuple):
    """The snapshot that the filter read; `decided_at` in microseconds since 1970 UTC."""

    position: int
    decided_at: int
    manifest_sha256: str


class Count(NamedTuple):
    """How many rows got this answer; `reason` None: allowed."""

    product: str | None
    data_kind: str | None
    reason: str | None
    rows: int


class Report(NamedTuple):
    snapshot: SnapshotRead
    inputs: tuple[File, ...]
    allowed_files: tuple[File, ...]
    counts: tuple[Count, ...]
    allowed: int
    denied: int

    @property
    def forbidden(self) -> int:
        """How many rows may not be used, and will not be by waiting."""
        return sum(count.rows for count in self.counts if count.reason not in {None, *_WAITING})

    def compared(self) -> Any:
        """What has to be the same when it is registered again: not how long it took, nor when the snapshot was made."""
        return {
            "position": self.snapshot.position,
            "inputs": sorted(self.inputs),
            "files": sorted(self.allowed_files),
            "counts": sorted(self.counts, key=str),
        }


def digest_of(reports: Sequence[Report]) -> str:
    """The SHA-256 of what reports say, in whatever order they come."""
    said = sorted(canonical_json(report.compared()) for report in reports)
    return hashlib.sha256(b"\n".join(said)).hexdigest()


def read_report(value: object, field: str = "report") -> Report:
    """A report as the filter writes it; what else is in it is passed over.

    Raises Invalid for what is no report, Unprocessable where its numbers don't add up; both name the part at fault.
    """
    reader = _Reader(field)
    report = reader.mapping(value, "")
    if report.get("format") != FORMAT:
        raise Invalid("invalid", _("This is no report of the filter of records, or of another version."), field)
    snapshot = reader.mapping(report.get("snapshot"), "snapshot")
    outputs = reader.mapping(report.get("outputs"), "outputs")
    found = Report(
        snapshot=SnapshotRead(
            reader.number(snapshot.get("position"), "snapshot/position"),
            reader.number(snapshot.get("decided_at"), "snapshot/decided_at"),
            reader.sha256(snapshot.get("manifest_sha256"), "snapshot/manifest_sha256"),
        ),
        inputs=reader.files(report.get("inputs"), "inputs"),
        allowed_files=reader.files(outputs.get("allowed"), "outputs/allowed"),
        counts=reader.counts(report.get("counts"), "counts"),
        allowed=reader.number(report.get("allowed"), "allowed"),
        denied=reader.number(report.get("denied"), "denied"),
    )
    _refuse_wrong_sums(found, reader.number(report.get("read"), "read"), field)
    return found


def require_made(reports: Mapping[str, Report]) -> None:
    """Raise Unprocessable for a report, named by its field, whose snapshot this portal has not signed as it is said.

    Otherwise a report could claim a later position than it was filtered at, and what came between would never go.
    """
    digests = {report.snapshot.manifest_sha256 for report in reports.values()}
    made = {
        each.manifest_sha256: (each.position, to_micros(each.decided_at))
        for each in SnapshotMade.objects.filter(manifest_sha256__in=digests)
    }
    for field, report in reports.items():
        said = report.snapshot
        if made.get(said.manifest_sha256) != (said.position, said.decided_at):
            text = _("This portal has made no such snapshot of position %(position)s: filter by one that it has made.")
            raise Unprocessable("unknown_snapshot", text % {"position": said.position}, f"{field}/snapshot")


def _refuse_wrong_sums(report: Report, read: int, field: str) -> None:
    by_answer = Counter[bool]()
    for count in report.counts:
        by_answer[count.reason is None] += count.rows
    sums = {
        "read": (read, report.allowed + report.denied),
        "allowed": (report.allowed, by_answer[True]),
        "denied": (report.denied, by_answer[False]),
        "inputs": (read, sum(file.rows for file in report.inputs)),
        "outputs/allowed": (report.allowed, sum(file.rows for file in report.allowed_files)),
    }
    for part, (said, added) in sums.items():
        if said != added:
            text = _("The numbers do not add up: %(said)s rows here, %(added)s by the other parts of the report.")
            raise Unprocessable("inconsistent", text % {"said": said, "added": added}, f"{field}/{part}")


class _Reader:
    """Reads parts of a report; each method raises Invalid that names the part."""

    def __init__(self, field: str) -> None:
        self.field = field

    def mapping(self, value: object, part: str) -> Json:
        if not isinstance(value, Mapping):
            raise self._wrong(part, _("Give an object."))
        return value

    def number(self, value: object, part: str) -> int:
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise self._wrong(part, _("Give a number from %(least)s to %(most)s.") % {"least": 0, "most": _LARGEST})
        return value

    def sha256(self, value: object, part: str) -> str:
        text = self.text(value, part)
        if len(text) != 64 or not _DIGITS.issuperset(text):
            raise self._wrong(part, _("Give a SHA-256: 64 hexadecimal digits, in small letters."))
        return text

    def text(self, value: object, part: str) -> str:
        # A name of a file is up to whoever has the data; but no database stores NUL, or half of a character.
        if not isinstance(value, str) or not value or len(value) > 500 or "\0" in value:
            raise self._wrong(part, _("Give a text of at most %s characters.") % 500)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self._wrong(part, _("Give a text of whole characters."))
        return value

    def files(self, value: object, part: str) -> tuple[File, ...]:
        files = [self._file(each, f"{part}/{n}") for n, each in enumerate(self._list(value, part))]
        if not files:
            raise self._wrong(part, _("Give at least one file."))
        if len({file.name for file in files}) < len(files):
            raise self._wrong(part, _("Two files have the same name."))
        return tuple(files)

    def _file(self, value: object, part: str) -> File:
        file = self.mapping(value, part)
        return File(
            self.text(file.get("name"), f"{part}/name"),
            self.number(file.get("rows"), f"{part}/rows"),
            self.number(file.get("size"), f"{part}/size"),
            self.sha256(file.get("sha256"), f"{part}/sha256"),
        )

    def counts(self, value: object, part: str) -> tuple[Count, ...]:
        return tuple(self._count(each, f"{part}/{n}") for n, each in enumerate(self._list(value, part)))

    def _count(self, value: object, part: str) -> Count:
        count = self.mapping(value, part)
        reason = count.get("reason")
        if reason is not None and reason not in REASONS:
            raise self._wrong(f"{part}/reason", _("There is no such reason."))
        # What records said, wrong or right: their product may be one that there is not.
        product, kind = (
            None if count.get(name) is None else self.text(count.get(name), f"{part}/{name}")
            for name in ("product", "data_kind")
        )
        return Count(product, kind, reason, self.number(count.get("rows"), f"{part}/rows"))

    def _list(self, value: object, part: str) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(part, _("Give a list."))
        if len(value) > MAX_FILES:
            raise self._wrong(part, _("There are more than %s of these.") % MAX_FILES)
        return value

    def _wrong(self, part: str, text: str) -> Invalid:
        return Invalid("invalid", text, f"{self.field}/{part}".rstrip("/"))
