"""Tags of what is shown (RFC 9110, 8.8.3): whether a client has it already, and whether it was written to meanwhile.

A tag is made of the very bytes that are shown to who asks, and so can't tell more than they do (R4, R15). Where more is
shown than is written to (what a worker moves, what another layer makes of a choice) the part of the tag before its dash
is the version of what is written to, and If-Match compares that part alone.
"""

import hashlib
import re

from django.utils.cache import parse_etags  # type: ignore[attr-defined]
from django.utils.translation import gettext as _

from ..errors import VersionMismatch

_LENGTH = 32  # hexadecimal digits
_NUMBER = re.compile(r'"(\d{1,9})(?:-[0-9a-f]{32})?"', re.ASCII)


def digest(shown: bytes) -> str:
    return hashlib.sha256(shown).hexdigest()[:_LENGTH]


def tag(shown: bytes, version: str = "") -> str:
    """`version` has no dash."""
    return f'"{version}-{digest(shown)}"' if version else f'"{digest(shown)}"'


def require_match(header: str, current: str) -> None:
    """Raise VersionMismatch unless this If-Match names the current tag, or any. Weak tags never do."""
    if header.strip() == "*":
        return
    if _compared(current) not in map(_compared, parse_etags(header)):
        raise VersionMismatch("version_mismatch", _("This has changed since you looked at it. Look at it again."))


def _compared(each: str) -> str:
    """What has to be the same: the version, where there is one, else all of it."""
    version, dash, _rest = each.partition("-")
    return version if dash else each.removesuffix('"')


def numbers(header: str | None) -> frozenset[int] | None:
    """The numbered versions that If-Match names; what is no such tag is none that ever was. None: it names none."""
    if header is None or header.strip() in ("", "*"):
        return None
    return frozenset(int(match[1]) for each in parse_etags(header) if (match := _NUMBER.fullmatch(each)))
