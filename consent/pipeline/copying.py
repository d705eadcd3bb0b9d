"""Copies the rows of a file by the verdicts on them, which come in the same order."""

from collections.abc import Iterator, Sequence

from ..rules import Reason
from .engine import Verdicts
from .errors import PipelineError, missing
from .records import Layout
from .sinks import Sink

try:
    import pyarrow as pa
    import pyarrow.compute as pc
except ImportError as error:
    raise missing(error) from None


def copy(
    laid: Layout, verdicts: Iterator[Verdicts], *, allowed: Sink, denied: Sink | None, private: Sequence[str] = ()
) -> None:
    """Copy each row of a file to one of the sinks, or to none if it is denied and nobody wants to know.

    `verdicts` as from `Engine.verdicts`; reasons that are `private` are told as `member_private`. Raises PipelineError
    with exit code 70 if there are not as many verdicts as rows.
    """
    at = 0
    for rows, judged in _together(laid, verdicts):
        usable = judged.reasons.is_null()
        allowed.write(laid.allowed(rows.filter(usable), [judged.organizations, judged.members]))
        if denied is not None:
            named = laid.named(rows, at).filter(pc.invert(usable))
            denied.write(laid.denied(named, _told(judged.reasons.drop_null().dictionary_decode(), private)))
        at += len(rows)


def _told(reasons: pa.Array, private: Sequence[str]) -> pa.Array:
    hidden = pc.is_in(reasons, pa.array(private, pa.string()))
    return pc.if_else(hidden, pa.scalar(Reason.MEMBER_PRIVATE.value), reasons)


def _together(laid: Layout, verdicts: Iterator[Verdicts]) -> Iterator[tuple[pa.RecordBatch, Verdicts]]:
    """Rows and the verdicts on them, cut alike."""
    cut = Cut(verdicts)
    for batch in laid.batches():
        start = 0
        while start < len(batch):
            judged = cut.take(len(batch) - start)
            if judged is None:
                raise PipelineError(f"{laid.input.path} has more rows than it had when it was judged.", 70)
            yield batch.slice(start, len(judged.reasons)), judged
            start += len(judged.reasons)
    if cut.take(1) is not None:
        raise PipelineError(f"{laid.input.path} has fewer rows than it had when it was judged.", 70)


class Cut:
    """Verdicts, taken piece by piece."""

    def __init__(self, verdicts: Iterator[Verdicts]) -> None:
        self._verdicts = verdicts
        self._now: Verdicts | None = None
        self._rows = self._usable = 0  # taken from what there is now

    def take(self, rows: int) -> Verdicts | None:
        """The verdicts on at most so many rows, and at least one; None: there are no more."""
        if self._now is None or self._rows == len(self._now.reasons):
            self._now, self._rows, self._usable = next(self._verdicts, None), 0, 0
        if self._now is None:
            return None
        reasons = self._now.reasons.slice(self._rows, rows)
        usable = reasons.null_count
        whose = [each.slice(self._usable, usable) for each in (self._now.organizations, self._now.members)]
        self._rows, self._usable = self._rows + len(reasons), self._usable + usable
        return Verdicts(reasons, *whose)
