"""The one spelling of an e-mail address, for writes and for questions alike: one mailbox is one user.

The domain is kept as IDNA 2008 makes it, in ASCII (`xn--…`): that is what mail is delivered by, so two spellings of one
domain can't be two people, and a message goes to the domain that was checked. Before the @ there is ASCII only.
"""

import re

import email_validator

from .characters import Unusable, refuse_unseen

LENGTH = 254
# A portal may run within a network of its own.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()
# What nearly every address is made of: it is its own normal form.
_ATOM, _LABEL = r"[a-z0-9_+-]+", r"[a-z0-9](?:[a-z0-9]|-(?!-)){0,61}(?<!-)"
_PLAIN = re.compile(rf"(?=.{{1,{LENGTH}}}\Z){_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+[a-z]{{2,63}}")


def normalize(text: str) -> str:
    """The spelling that is kept and looked up; raises Unusable. What it returns is its own normal form."""
    if _PLAIN.fullmatch(text):
        return text
    text = text.strip()
    refuse_unseen(text)
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
    """What a question looks for. What is no address is looked for as it is, and nobody new can have it."""
    try:
        return normalize(text)
    except Unusable:
        return text.strip().lower()
