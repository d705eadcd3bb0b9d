"""Settings › Notifications: which e-mails a person gets, and which they have switched off."""

from typing import cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from accounts.access import Actor
from accounts.models import User

from ..notices import preferences
from ..notices.catalogue import ENTRIES
from .pages import page, person_page


@require_http_methods(["GET", "HEAD", "POST"])
@person_page
def notifications(request: HttpRequest, actor: Actor) -> HttpResponse:
    user = cast(User, request.user)
    mine = preferences.notices_of(user)
    optional = [notice for notice in mine if ENTRIES[notice].optional]
    on = {str(notice) for notice in optional} - preferences.switched_off(user)
    error = ""
    if request.method == "POST":
        field = forms.MultipleChoiceField(required=False, choices=[(str(notice), "") for notice in optional])
        try:
            wanted = field.clean(request.POST.getlist("on"))
        except forms.ValidationError:
            error = _("Not saved: one of these e-mails can't be switched here. Choose again.")
        else:
            preferences.keep(user, wanted)
            messages.success(request, _("Saved."))
            return redirect("console:notifications")
    context = {
        "optional": [(str(notice), ENTRIES[notice], str(notice) in on) for notice in optional],
        "always": [ENTRIES[notice] for notice in mine if not ENTRIES[notice].optional],
        "error": error,
        "email": user.email,
    }
    return page(request, actor, "console/notifications.html", context, status=400 if error else 200)
