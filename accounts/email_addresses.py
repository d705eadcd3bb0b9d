"""The normal form of e-mail addresses, used for writes and look-ups alike, so that one mailbox is one user.

The domain is stored in its ASCII form by IDNA 2008 (`xn--…`), because mail is delivered by that: two spellings of one
domain can't become two users, and a message goes to the domain that was checked. The local part must be ASCII.
"""

import re

import email_validator

from .characters import Unusable, refuse_unseen

LENGTH = 254
# Allow domains like `.local` and `.test`: a portal may run within a private network.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
# Fast path: nearly every address matches this, and such an address is its own normal form.
_ATOM, _LABEL = r"[a-z0-9_+-]+", r"[a-z0-9](?:[a-z0-9]|-(?!-)){0,61}(?<!-)"
_PLAIN = re.compile(rf"(?=.{{1,{LENGTH}}}\Z){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z]{{2,63}}")


def normalize(text: str) -> str:
    """The normal form, which is stored and looked up; idempotent. Raises Unusable for what is no e-mail address."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.strip()
    refuse_unseen(text)
    # `localhost` has no dot, which `globally_deliverable` would require.
    named = not text.lower().endswith("@localhost")
    try:
        found = email_validator.validate_email(
            text, allow_smtputf8=False, check_deliverability=False, globally_deliverable=named
        )
    except email_validator.EmailNotValidError:
        raise Unusable from None
    spelled = f"{found.ascii_local_part}@{found.ascii_domain}".lower()
    if len(spelled) > LENGTH:
        raise Unusable
    return spelled


def asked(text: str) -> str:
    """The text to look up for an address that somebody typed; never raises.

    What is no valid address is returned trimmed and in lower case: only users from before the validation can match it.
    """
    try:
        return normalize(text)
    except Unusable:
        return text.strip().lower()
