"""The organization's settings page, with its API keys; webhooks have their own page."""

import datetime as dt
from functools import partial
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts import shown_once, time_zones
from accounts.access import Actor, NotFound, Permission
from accounts.fields import parse_id
from accounts.models import OPERATOR_SCOPES, ApiKey, KeyScope, Organization

from ..errors import ServiceError
from ..models import Source, WebhookEndpoint
from ..presentation import consequences
from ..presentation.asking import once_confirmed
from ..services import credentials
from ..services.credentials import Issued
from .asked import ask
from .pages import organization_page, page

# Scopes that an organization's key can have.
SCOPES = [(scope.value, scope.label) for scope in KeyScope if scope not in OPERATOR_SCOPES]
KEYS = 50
_NEW = "new"  # parameter: the id of the key whose text is shown


class KeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What the key is for."))
    scopes = forms.MultipleChoiceField(label=_("What it may do"), choices=SCOPES, widget=forms.CheckboxSelectMultiple)
    expires_on = forms.DateField(
        label=_("Valid until"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text=format_lazy(_("The whole day ({zone}). Empty: until it is revoked."), zone=time_zones.HERE),
    )

    def clean_expires_on(self) -> dt.datetime | None:
        """The end of the day where the person is, or None; a day that is over is refused."""
        day: dt.date | None = self.cleaned_data["expires_on"]
        if day is None:
            return None
        if day < timezone.localdate():
            raise forms.ValidationError(_("This date is in the past."))
        return time_zones.end_of(day)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.KEYS_MANAGE)
def settings(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    if request.method != "POST":
        return _page(request, actor, organization)
    match request.POST.get("do"):
        case "create":
            return _created(request, actor, organization)
        case "revoke":
            return _revoked(request, actor, organization)
        case "take-over":
            return _taken_over(request, actor, organization)
        case "copied":
            shown_once.forget(request, request.GET.get(_NEW, ""))
            return redirect("console:settings", organization.pk)
    return _page(request, actor, organization, status=400)


def _created(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    form = KeyForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, actor, organization, form=form, status=400)
    data = form.cleaned_data
    try:
        made = credentials.issue_key(
            name=data["name"],
            scopes=data["scopes"],
            organization=organization,
            expires_at=data["expires_on"],
            actor=actor,
            source=Source.CONSOLE,
        )
    except ServiceError as error:
        form.add_error(error.field if error.field in form.fields else None, str(error))
        return _page(request, actor, organization, form=form, status=error.http_status)
    return _made(request, organization, made)


def _made(request: HttpRequest, organization: Organization, issued: Issued) -> HttpResponse:
    """Leads to the page that shows the key's text: whoever loads it again makes no second key."""
    shown_once.keep(request, issued.key.pk, issued.text or "")
    return redirect(f"{reverse('console:settings', args=[organization.pk])}?{_NEW}={issued.key.pk}")


def _key(request: HttpRequest, organization: Organization) -> ApiKey:
    pk = parse_id(request.POST.get("key", ""))
    key = ApiKey.objects.filter(organization=organization, pk=pk).first() if pk else None
    if key is None:
        raise NotFound("key")
    return key


def _taken_over(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    """Take over a key, which gets a new text."""
    key = _key(request, organization)
    run = partial(credentials.take_over_key, key=key, actor=actor, source=Source.CONSOLE)
    try:
        done = once_confirmed(request, lambda: consequences.of_taking_over(key, run))
    except ServiceError as error:
        messages.error(request, str(error))
        return _page(request, actor, organization, status=error.http_status)
    if done.told is not None:
        return ask(request, actor, organization, done)
    return _made(request, organization, done.result)


def _revoked(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    key = _key(request, organization)
    run = partial(credentials.revoke_key, key=key, actor=actor, source=Source.CONSOLE)
    done = once_confirmed(request, lambda: consequences.of_revoking(key, run))
    if done.told is not None:
        return ask(request, actor, organization, done)
    messages.success(request, gettext("The key is revoked: from now on nothing can be done with it."))
    return redirect("console:settings", organization.pk)


def _page(
    request: HttpRequest,
    actor: Actor,
    organization: Organization,
    *,
    form: KeyForm | None = None,
    status: int = 200,
) -> HttpResponse:
    found = ApiKey.objects.visible_to(actor).filter(organization=organization, revoked_at=None)
    keys = list(found.select_related("issued_by").order_by("-id")[:KEYS])
    new = next((key for key in keys if str(key.pk) == request.GET.get(_NEW)), None)
    secret = shown_once.find(request, new.pk) if new else ""
    context: dict[str, Any] = {
        "keys": keys,
        "some_suspended": any(key.suspended_at for key in keys),
        "form": form or KeyForm(label_suffix=""),
        "new": new if new and credentials.is_text_of(new, secret) else None,
        "secret": secret,
        "webhooks": WebhookEndpoint.objects.filter(organization=organization).count(),
        "now": timezone.now(),
    }
    return page(request, actor, "console/settings.html", context, organization=organization, status=status)
