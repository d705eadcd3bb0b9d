"""Checks a receipt in the reader's browser: a page for everybody, with neither session nor data of the portal."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.catalogue import Product
from accounts.models import Member, Organization

from ..models import ActorType, Choice, EventKind, ReasonCode, Source
from ..surfaces import SURFACES
from .opt_out_help import path_of


@require_safe
def verify(_request: HttpRequest) -> HttpResponse:
    """The same for everybody but for the language: it is rendered without the request."""
    return HttpResponse(render_to_string("verify.html", {"words": _words()}))


def _words() -> dict[str, Any]:
    """What the script says of an event: labels of its fields, words for what they hold."""
    return {
        "labels": {
            "kind": _("What happened"),
            "product": _("Product"),
            "surface": _("Setting"),
            "before": _("Before"),
            "after": _("After"),
            "allowed": _("Data used for training after this"),
            "reason_code": _("Because"),
            "since": _("Since"),
            "recorded_at": _("When"),
            "organization": _("Id of the organization"),
            "member": _("Id of the member"),
            "actor": _("Who"),
            "source": _("Where"),
            "reason": _("Reason"),
            "reference": _("Reference"),
            "wording": _("Wording"),
            "position": _("Position in the ledger"),
            "log": _("Log"),
            "size": _("Events in the checkpoint"),
        },
        "values": {
            "kind": _choices(EventKind),
            "product": _choices(Product),
            "surface": {surface.key: f"{path_of(surface)} › {surface.label}" for surface in SURFACES.values()},
            "changed": {
                **_choices(Choice),
                **_choices(Member.Role),
                **_choices(Organization.Kind),
                **_choices(Organization.Status),
                "locked": _("locked"),
                "unlocked": _("not locked"),
            },
            "allowed": {"true": capfirst(_("yes")), "false": capfirst(_("no"))},
            "reason_code": _choices(ReasonCode),
            "source": _choices(Source),
            "actor": {**_choices(ActorType), "provider": _("The provider")},
        },
        "hidden": _("Not in this receipt: only its fingerprint is"),
        "problems": _problems(),
    }


def _problems() -> dict[str, Any]:
    """What the script says where it can't check."""
    return {
        "malformed": _("This file is no receipt, or it is damaged."),
        "key": _("This is no public key of a log. It has the form name+hash+base64."),
        "missing": _("Give the public key of the log, and the check begins."),
        "unsupported": _(
            "This browser can't check signatures here. A current version of Firefox, Chrome, Edge or Safari can, on"
            " a page that came by HTTPS."
        ),
        "unreachable": _("This portal did not give its public key. It may keep no log."),
    }


def _choices(kind: Any) -> dict[str, str]:
    return {value: str(label) for value, label in kind.choices}
