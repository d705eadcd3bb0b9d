"""The normal form of external ids, used for writes and look-ups alike (R16).

An external id is the provider's own text for an account. Two spellings that look the same must not be two ids. So an
id is stored in Unicode's composed form (NFC), without surrounding space or quotes, and an invisible character in it is
refused.
"""

import hashlib
import hmac
import re
import unicodedata
import uuid

from django.conf import settings

from .characters import Unusable, refuse_unseen

LENGTH = 200
# Opening quotation mark → its possible closing marks, in several languages.
_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "“": "”",
    "„": "“”",
    "‘": "’",
    "‚": "‘’",
    "«": "»",
    "»": "«",
    "‹": "›",
    "›": "‹",
}
_SPACE = " \t\r\n\f\v\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
# Word processors put these in place of a hyphen.
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
# For `folded`: every hyphen becomes "-", every quotation mark and apostrophe disappears.
_UNLIKE = _HYPHENS | dict.fromkeys(map(ord, {*_QUOTES, *"".join(_QUOTES.values()), *"´ʹʻʼʽˈ′‛"}))
# Fast path: lower-case letters, digits and signs other than quotes. There is nothing to fold.
_FOLDED = re.compile(r"[a-z1-9!#-&(-/:-@\[-_{-~](?:[a-z0-9 !#-&(-/:-@\[-_{-~])*")
# Fast path: nearly every id matches this, and such an id is its own normal form.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[\x20-\x7e]*[A-Za-z0-9])?")


def normalize(text: str) -> str:
    """The normal form, which is stored and looked up; idempotent. Raises Unusable."""
    if _PLAIN.fullmatch(text):
        return text
    before = None
    while before != text:  # quotes may stand within space, and space within quotes
        before, text = text, unicodedata.normalize("NFC", text).strip(_SPACE)
        if len(text) > 1 and text[-1] in _QUOTES.get(text[0], ""):
            text = text[1:-1]
    refuse_unseen(text)
    if not text:
        raise Unusable
    return text


def asked(text: str) -> str | None:
    """The id to look up for a text that somebody sent; None where it can't be an id, or is too long. Never raises."""
    try:
        found = normalize(text)
    except Unusable:
        return None
    return found if len(found) <= LENGTH else None


def folded(value: str) -> str:
    """The folded form, by which similar ids are found; '' where it equals the id.

    Folding removes what people and programs change by mistake: case, character width, the kind of hyphen, quotation
    mark and apostrophe, and leading zeros.
    """
    text = value
    if not _FOLDED.fullmatch(value):
        text = value.translate(_UNLIKE)  # before NFKC, which splits an acute accent into a space and a combining mark
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_UNLIKE)
        text = (text.lstrip("0") or text[-1:] or value)[:LENGTH]
    return "" if text == value else text


def erased_hash(value: str, organization: uuid.UUID | None = None) -> str:
    """The keyed hash that replaces an erased id: it still refuses the same text to others, without storing it.

    `organization`: the organization of a member's id; None for an organization's own id.
    """
    scope = "" if organization is None else str(organization)
    text = f"external-id/v1\0{scope}\0{value}"
    return hmac.new(settings.API_KEY_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()
