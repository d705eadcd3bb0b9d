"""Why records are used or not, in words: of the filter's counts, and of what has to be removed."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.catalogue import Product

from ..models import ReasonCode
from ..pipeline.report import UNREADABLE_ROW
from ..rules import Reason

# Those of layers have their words already.
_WORDS: dict[str, str | Promise] = {
    **dict(ReasonCode.choices),
    Reason.UNKNOWN_ORGANIZATION: gettext_lazy("Unknown organization"),
    Reason.RESTORED: gettext_lazy("The database was restored"),
    Reason.UNKNOWN_PRODUCT: gettext_lazy("Unknown product"),
    Reason.UNKNOWN_DATA_KIND: gettext_lazy("Unknown kind of data"),
    Reason.COLLECTED_AT_MISSING: gettext_lazy("No instant of collection"),
    Reason.NOT_YET_KNOWN: gettext_lazy("Collected after the snapshot"),
    Reason.MEMBER_REQUIRED: gettext_lazy("No member named"),
    Reason.UNKNOWN_MEMBER: gettext_lazy("Unknown member"),
    Reason.MEMBER_PRIVATE: gettext_lazy("Because of the member"),
    Reason.COLLECTED_BEFORE_ALLOWED: gettext_lazy("Collected before its use was allowed"),
    Reason.COOLING_OFF: gettext_lazy("Not old enough yet"),
    Reason.EXTERNAL_ID: gettext_lazy("External id"),
    UNREADABLE_ROW: gettext_lazy("Unreadable row"),
}
_KINDS: dict[str, str | Promise] = {
    "conversation": gettext_lazy("Conversations"),
    "document": gettext_lazy("Documents"),
    "output": gettext_lazy("Answers"),
    "other": gettext_lazy("Other content"),
    "api_input": gettext_lazy("API calls"),
    "api_output": gettext_lazy("Answers of the API"),
    "related": gettext_lazy("Related data"),
}


def in_words(reason: str | None) -> str:
    """Why records are not used; None: they are."""
    return _("Used") if reason is None else str(_WORDS[reason])


class Counted(NamedTuple):
    """A line of a table of counts."""

    product: str
    what: str
    reason: str
    number: int
    used: bool


def of_records(counts: Iterable[Mapping[str, Any]]) -> list[Counted]:
    """The counts of a filter's report in words: first what is used, then the most frequent reasons.

    A product or kind of data that there is not stands as the records named it.
    """
    lines = [
        Counted(
            _product(count["product"]),
            str(_KINDS.get(count["data_kind"], count["data_kind"]) or "–"),
            in_words(count["reason"]),
            count["rows"],
            count["reason"] is None,
        )
        for count in counts
    ]
    return sorted(lines, key=lambda line: (not line.used, -line.number, line))


def of_entries(counts: Iterable[Mapping[str, Any]]) -> list[Counted]:
    """The counts of a removal in words, the most frequent first."""
    levels = {"organization": _("Organizations"), "member": _("Members")}
    lines = [
        Counted(_product(count["product"]), levels[count["level"]], in_words(count["reason"]), count["entries"], False)
        for count in counts
    ]
    return sorted(lines, key=lambda line: (-line.number, line))


def _product(key: str | None) -> str:
    labels: dict[str, Any] = dict(Product.choices)
    return str(labels.get(key or "", key) or "–")
