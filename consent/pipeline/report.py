"""What a run of the filter tells: as JSON for the register of training runs, and as text for people."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..rules import Reason

FORMAT = 1
# Reasons by which whoever reads the data would learn what a member chose, or that they left.
PRIVATE = (Reason.MEMBER_OPTED_OUT.value, Reason.MEMBER_LEFT.value)
UNREADABLE_ROW = "unreadable_row"  # a reason of the filter alone: nothing is known of the record
INCOMPLETE = 3  # the exit code of a run that wrote its outputs, which somebody should look at first


@dataclasses.dataclass(frozen=True)
class FilterReport:
    """The outcome of a run; its fields are those of the JSON.

    `inputs` and each of `outputs` are lists of `{"name", "size", "rows", "sha256"}`; `counts` one of
    `{"product", "data_kind", "reason", "rows"}`, where reason None is allowed. `warnings`: why somebody should look at
    the outcome before using it.
    """

    snapshot: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: dict[str, list[dict[str, Any]]]
    counts: list[dict[str, Any]]
    read: int
    allowed: int
    denied: int
    noncanonical_ids: int
    unreadable_instants: int
    unreadable_rows: int
    columns: dict[str, str]
    versions: dict[str, str]
    seconds: float
    warnings: list[str]
    format: int = FORMAT

    @property
    def exit_code(self) -> int:
        return INCOMPLETE if self.warnings else 0

    def data(self) -> dict[str, Any]:
        """As it is written to JSON."""
        return dataclasses.asdict(self)

    def json(self) -> bytes:
        return json.dumps(self.data(), indent=2, ensure_ascii=False).encode() + b"\n"

    @property
    def products(self) -> list[str]:
        """Whose records are allowed."""
        return sorted({each["product"] for each in self.counts if each["reason"] is None})

    def told_reasons(self) -> dict[str, int]:
        """Reason → how many records were denied by it, as it may be told to whoever sees that the data is there."""
        told: Counter[str] = Counter()
        for reason, rows in self._reasons().items():
            told[Reason.MEMBER_PRIVATE.value if reason in PRIVATE else reason] += rows
        return dict(sorted(told.items()))

    def _reasons(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for each in self.counts:
            if each["reason"]:
                found[each["reason"]] += each["rows"]
        return found

    def text(self) -> str:
        """A few lines for people: what was allowed, and what was denied why."""
        allowed = f"{self.allowed:,} allowed"
        lines = [
            f"{self.read:,} records read, by the snapshot at position {self.snapshot['position']:,}.",
            f"{allowed}, {self.denied:,} denied:" if self.denied else f"{allowed}, none denied.",
            *(f"  {rows:>15,}  {reason}" for reason, rows in self._reasons().most_common()),
        ]
        odd = {
            "ids not in normal form": self.noncanonical_ids,
            "instants that can't be read": self.unreadable_instants,
        }
        lines += [f"{number:,} {what}." for what, number in odd.items() if number]
        return "\n".join(lines)


def summed(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The counts of several files as one list, in a fixed order."""
    total: Counter[tuple[str | None, ...]] = Counter()
    for each in entries:
        total[each["product"], each["data_kind"], each["reason"]] += each["rows"]
    ordered = sorted(total.items(), key=lambda pair: [(part is not None, part or "") for part in pair[0]])
    return [dict(zip(("product", "data_kind", "reason"), key, strict=True), rows=rows) for key, rows in ordered]
