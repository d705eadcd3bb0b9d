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
    SAME: _("No change needed"),
    OPT_OUT: _("Opts out an organization that exists already"),
    BAD: ProblemKind.BAD.label,
    DIFFERING: ProblemKind.DIFFERING.label,
    DUPLICATE: _("repeats another row"),
    PAST: _("no longer current: ended, left or closed"),
    SIMILAR: _("external id is similar to a known one"),
    EXISTS: _("external id belongs, or once belonged, to another"),
    PERSONAL: _("a personal organization has no members but its owner"),
    KNOWN: _("the earlier start contradicts what the portal knows"),
    UNAPPROVED: _("it would now allow use that nobody has approved"),
    CHANGED_SINCE: _("changed since the preview"),
    AUTHORITY_ENDED: _("somebody who wrote, submitted or approved this may no longer do so"),
}


def in_words(code: str) -> str:
    """The words for an outcome, in the reader's language. Raises KeyError for an unknown one."""
    return str(WORDS[code])
