"""A person's own profile: name, language, time zone; and the switch of the language that every page has."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone, translation
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods
from django.views.i18n import set_language

from accounts import preferences, time_zones
from accounts.access import Actor
from accounts.models import User
from accounts.reauthentication import session_actor

from ..errors import Invalid
from ..services import addresses
from ..services import profile as service
from .pages import page, person_page


class ProfileForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=200,
        required=False,
        widget=forms.TextInput({"autocomplete": "name"}),
        help_text=_("Those you work with see it. Without a name they see your address."),
    )
    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=lambda: [("", _("As your browser asks")), *_languages()],
        help_text=_("Of the pages that you open, and of the mails that you get."),
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=time_zones.choices,
        help_text=_("Type the first letters of a city to find it. Times are shown, and days are read, in this zone."),
    )


def _languages() -> list[tuple[str, str]]:
    """Each language in its own words."""
    return [
        (code, translation.get_language_info(code)["name_local"].capitalize()) for code, _name in settings.LANGUAGES
    ]


@require_http_methods(["GET", "HEAD", "POST"])
@person_page
def profile(request: HttpRequest, actor: Actor) -> HttpResponse:
    if request.method != "POST":
        return _page(request, actor)
    form = ProfileForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, actor, form, 400)
    try:
        person = service.change(actor=actor, **form.cleaned_data)
    except Invalid as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _page(request, actor, form, error.http_status)
    with preferences.of(person.language, person.time_zone):  # the answer speaks as was asked just now
        messages.success(request, gettext("Saved."))
    return redirect("console:profile")


def _page(request: HttpRequest, actor: Actor, form: ProfileForm | None = None, status: int = 200) -> HttpResponse:
    person = cast(User, request.user)
    stored = {"name": person.name, "language": person.language, "time_zone": person.time_zone or time_zones.UTC}
    context: dict[str, Any] = {
        "form": form or ProfileForm(initial=stored, label_suffix=""),
        "email": person.email,
        "pending": addresses.pending(person),
        "now": timezone.now(),
    }
    return page(request, actor, "console/profile.html", context, status=status)


def language(request: HttpRequest) -> HttpResponse:
    """Django's view, which sets a cookie for this browser; of somebody signed in the choice is stored as well."""
    code = preferences.language_of(request.POST.get("language", ""))  # an unknown one is ignored, as Django's view does
    if code and isinstance(request.user, User):
        service.choose_language(actor=session_actor(request), language=code)
    return set_language(request)
