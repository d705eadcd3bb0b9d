"""The one place that sends notices: leaves out who has switched the kind off, and says in the mail how to do that.

Who has chosen a language gets mails in it, with times in their time zone: subjects and words are translated when the
mail is written, and instants are given as instants.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.functional import lazy
from django.utils.translation import gettext as _

from accounts import preferences
from accounts.models import User
from accounts.outbox import MassMail

from ..models import NoticeOff
from .catalogue import ENTRIES, Notice, Words


def _said(text: Words, words: dict[str, Any]) -> str:
    return str(text) % words


# A translated text and what it is about, put together where the mail is written: for `words` that hold such a text.
later = lazy(_said, str)


class Letter(NamedTuple):
    """One text for some addresses, each of which gets a mail of its own; `words` are for subject and template."""

    addresses: Sequence[str]
    subject: Words
    words: dict[str, Any]


def send(notice: Notice, addresses: Iterable[str], subject: Words, **words: Any) -> None:
    """Put a mail for each address into the outbox, in the current transaction."""
    send_all(notice, [Letter(list(addresses), subject, words)])


def send_all(notice: Notice, letters: Sequence[Letter]) -> None:
    """Put the mails of all letters into the outbox, in the current transaction, by a fixed number of queries."""
    addresses = {address for letter in letters for address in letter.addresses}
    off = _switched_off(notice, addresses) if addresses and ENTRIES[notice].optional else frozenset()
    wanted = _preferences_of(addresses - off)
    mails: list[EmailMessage] = []
    for letter in letters:
        those = [address for address in dict.fromkeys(letter.addresses) if address not in off]
        mails += _mails(notice, letter, those, wanted)
    if mails:
        get_connection().send_messages(mails)


def portal_url(name: str, *args: object) -> str:
    """The whole URL of a page, for e-mails, which are written where there is no request."""
    return f"{settings.PORTAL_URL}{reverse(name, args=args)}"


def _switched_off(notice: Notice, addresses: set[str]) -> frozenset[str]:
    off = NoticeOff.objects.filter(notice=notice, user__email__in=addresses)
    return frozenset(off.values_list("user__email", flat=True))


def _preferences_of(addresses: set[str]) -> dict[str, tuple[str, str]]:
    """Address → the language and the time zone of whoever has it."""
    people = User.objects.filter(email__in=addresses) if addresses else User.objects.none()
    found = people.values_list("email", "language", "time_zone")
    return {email: (language, time_zone) for email, language, time_zone in found}


def _mails(
    notice: Notice, letter: Letter, addresses: Sequence[str], wanted: dict[str, tuple[str, str]]
) -> Iterable[EmailMessage]:
    """A mail to each address; the text is written once for all who want it alike."""
    kind = MassMail if ENTRIES[notice].mass else EmailMessage
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for address in addresses:
        alike[wanted.get(address, ("", ""))].append(address)
    for preference, those in alike.items():
        with preferences.of(*preference):
            subject, body = str(letter.subject) % letter.words, _body(notice, letter.words)
        yield from (kind(subject, body, None, [address]) for address in those)


def _body(notice: Notice, words: dict[str, Any]) -> str:
    body = render_to_string(f"emails/{notice}.txt", {"provider": settings.PROVIDER_NAME, **words})
    if not ENTRIES[notice].optional:
        return body
    how = _("You can switch off e-mails of this kind: %(url)s") % {"url": portal_url("console:notifications")}
    return f"{body.rstrip()}\n\n{how}\n"
