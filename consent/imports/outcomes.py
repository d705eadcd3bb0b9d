"""What can come of a row of a job: code, for programs → words, for people."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..jobs.approval import AUTHORITY_ENDED
from ..jobs.cases import CHANGE, CHANGED_SINCE, SAME
from ..models import ProblemKind, ReasonCode
from .judging import BAD, DIFFERING, EXISTS, KNOWN, OPT_OUT, PAST, PERSONAL, UNAPPROVED
from .similar import SIMILAR
from .staging import DUPLICATE

WORDS: dict[str, str | Promise] = {
    **dict(ReasonCode.choices),
    **dict(ProblemKind.choices),
    "": _("Changes"),
    CHANGE: _("Changes"),
    SAME: _("Already so"),
    OPT_OUT: _("Opts out one that is known"),
    BAD: ProblemKind.BAD.label,
    DIFFERING: ProblemKind.DIFFERING.label,
    DUPLICATE: _("repeats another row"),
    PAST: _("of the past: it has ended, left or closed"),
    SIMILAR: _("like a known one"),
    EXISTS: _("its external id means, or meant, another"),
    PERSONAL: _("a personal organization has its owner alone"),
    KNOWN: _("the portal knows otherwise about that start"),
    UNAPPROVED: _("it would loosen by now, and nobody has approved that"),
    CHANGED_SINCE: _("changed since the preview"),
    AUTHORITY_ENDED: _("somebody who wrote, submitted or approved this may no longer do so"),
}


def in_words(code: str) -> str:
    """The words for an outcome, in the reader's language. Raises KeyError for an unknown one."""
    return str(WORDS[code])
