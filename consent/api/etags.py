"""ETags (RFC 9110, 8.8.3): If-None-Match saves sending the same content again, If-Match prevents lost updates.

A tag is a digest of the bytes that are shown to this caller, so it reveals nothing that they don't (R4, R15). Some
content also changes without a write to it: a worker moves a webhook's position, another layer changes what is in
effect. There the tag is the version of the writable part, a dash and the digest; If-Match compares only the version.
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
    """The quoted tag of these bytes; `version` must not contain a dash."""
    return f'"{version}-{digest(shown)}"' if version else f'"{digest(shown)}"'


def require_match(header: str, current: str) -> None:
    """Raise VersionMismatch unless the If-Match header is `*` or names the current tag. Weak tags never match."""
    if header.strip() == "*":
        return
    if _compared(current) not in map(_compared, parse_etags(header)):
        raise VersionMismatch("version_mismatch", _("This has changed since you looked at it. Look at it again."))


def _compared(each: str) -> str:
    """The part of a tag that If-Match compares: the version where there is one, else all of it."""
    version, dash, _rest = each.partition("-")
    return version if dash else each.removesuffix('"')


def numbers(header: str | None) -> frozenset[int] | None:
    """The version numbers that If-Match names; None without the header or for `*`. A malformed tag names no version."""
    if header is None or header.strip() in ("", "*"):
        return None
    return frozenset(int(match[1]) for each in parse_etags(header) if (match := _NUMBER.fullmatch(each)))
