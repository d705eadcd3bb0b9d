"""The one place that sends notices: leaves out who has switched the kind off, and says in the mail how to do that."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _

from ..models import NoticeOff
from .catalogue import ENTRIES, Notice


class Letter(NamedTuple):
    """One text for some addresses, each of which gets a mail of its own; `words` are for the notice's template."""

    addresses: Sequence[str]
    subject: str
    words: dict[str, Any]


def send(notice: Notice, addresses: Iterable[str], subject: str, **words: Any) -> None:
    """Put a mail for each address into the outbox, in the current transaction."""
    send_all(notice, [Letter(list(addresses), subject, words)])


def send_all(notice: Notice, letters: Sequence[Letter]) -> None:
    """Put the mails of all letters into the outbox, in the current transaction; at most two statements."""
    off = _switched_off(notice, letters) if ENTRIES[notice].optional else frozenset()
    mails = []
    for letter in letters:
        if told := [address for address in dict.fromkeys(letter.addresses) if address not in off]:
            body = _body(notice, letter.words)
            mails += [EmailMessage(letter.subject, body, None, [address]) for address in told]
    if mails:
        get_connection().send_messages(mails)


def portal_url(name: str, *args: object) -> str:
    """The whole URL of a page, for e-mails, which are written where there is no request."""
    return f"{settings.PORTAL_URL}{reverse(name, args=args)}"


def _switched_off(notice: Notice, letters: Sequence[Letter]) -> frozenset[str]:
    addresses = {address for letter in letters for address in letter.addresses}
    off = NoticeOff.objects.filter(notice=notice, user__email__in=addresses)
    return frozenset(off.values_list("user__email", flat=True))


def _body(notice: Notice, words: dict[str, Any]) -> str:
    body = render_to_string(f"emails/{notice}.txt", {"provider": settings.PROVIDER_NAME, **words})
    if not ENTRIES[notice].optional:
        return body
    told = _("You can switch off e-mails of this kind: %(url)s") % {"url": portal_url("console:notifications")}
    return f"{body.rstrip()}\n\n{told}\n"
