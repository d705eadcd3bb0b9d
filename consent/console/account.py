"""Settings and Account: a person's own pages as lists, so that the phone's path can be walked by taps."""

import dataclasses

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import Actor

from ..navigation import Words, own_consoles
from ..surfaces import LE_CHAT_MOBILE
from .pages import page, person_page


@dataclasses.dataclass(frozen=True)
class Row:
    label: Words
    about: Words
    url: str


@require_safe
@person_page
def settings(request: HttpRequest, actor: Actor) -> HttpResponse:
    rows = [Row(LE_CHAT_MOBILE.path[1], request.user.get_username(), reverse("console:account"))]
    consoles = list(own_consoles(actor)[:2])
    if len(consoles) == 1:
        rows.append(Row(_("Admin Console"), consoles[0].name, reverse("console:overview", args=[consoles[0].pk])))
    elif consoles:
        rows.append(Row(_("Admin Console"), _("Your organizations"), reverse("organizations")))
    about = _("What is used by default on each plan, and where to opt out.")
    rows.append(Row(_("Can I opt out?"), about, reverse("console:opt-out-help")))
    return page(request, actor, "console/own_settings.html", {"rows": rows})


@require_safe
@person_page
def account(request: HttpRequest, actor: Actor) -> HttpResponse:
    rows = [
        Row(
            LE_CHAT_MOBILE.path[-1],
            _("Whether your data may be used to train our models."),
            reverse("console:data-controls"),
        ),
        Row(_("Profile"), _("Name, language, time zone, e-mail address."), reverse("console:profile")),
        Row(_("Sign-in and security"), _("Password, passkeys, where you are signed in."), reverse("mfa_index")),
        Row(_("Notifications"), _("What we send you by e-mail."), reverse("console:notifications")),
    ]
    return page(request, actor, "console/account.html", {"rows": rows})
