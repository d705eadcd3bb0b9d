"""The one spelling of an external id, for writes and for questions alike (R16).

An external id is the provider's own text for an account. Two spellings that look the same must not be two ids, so an
id is kept in Unicode's composed form (NFC), without space or a pair of quotes around it, and what can't be seen in it
is refused.
"""

import hashlib
import hmac
import re
import unicodedata
import uuid

from django.conf import settings

from .characters import Unusable, refuse_unseen

LENGTH = 200
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
# Word processors write these for a hyphen.
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
_UNLIKE = _HYPHENS | dict.fromkeys(map(ord, {*_QUOTES, *"".join(_QUOTES.values()), *"´ʹʻʼʽˈ′‛"}))
# Small letters, digits and signs but quotes: nothing to fold.
_FOLDED = re.compile(r"[a-z1-9!#-&(-/:-@\[-_{-~](?:[a-z0-9 !#-&(-/:-@\[-_{-~])*")
# What nearly every id is made of: it is its own normal form.
_PLAIN = re.compile(r"[A-Za-z0-9](?:[\x20-\x7e]*[A-Za-z0-9])?")


def normalize(text: str) -> str:
    """The spelling that is kept and looked up; raises Unusable. What it returns is its own normal form."""
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
    """The id that a question means; None where no id can be spelled so, or so long: then it is nobody's."""
    try:
        found = normalize(text)
    except Unusable:
        return None
    return found if len(found) <= LENGTH else None


def folded(value: str) -> str:
    """The id without what people and programs change by mistake; '' where that is the id itself.

    Two ids are similar that come to the same without case, width, kinds of hyphens, quotation marks, apostrophes and
    leading zeros.
    """
    text = value
    if not _FOLDED.fullmatch(value):
        text = value.translate(_UNLIKE)  # before: of an acute accent NFKC makes a space and a mark
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_UNLIKE)
        text = (text.lstrip("0") or text[-1:] or value)[:LENGTH]
    return "" if text == value else text


def erased_hash(value: str, organization: uuid.UUID | None = None) -> str:
    """What is left of an erased id: refuses others the same text, and tells it to nobody without the key.

    `organization`: that of a member's id, None for an organization's own.
    """
    scope = "" if organization is None else str(organization)
    text = f"external-id/v1\0{scope}\0{value}"
    return hmac.new(settings.API_KEY_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()
