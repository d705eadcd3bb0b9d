"""The organization's settings: its API keys; its webhooks have a page of their own."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, NotFound, Permission
from accounts.authentication import issue_key, revoke_key
from accounts.fields import parse_id
from accounts.models import ApiKey, KeyScope, Organization

from ..webhook_models import WebhookEndpoint
from .forms import end_of
from .pages import organization_page, page

# The one that speaks for members is the provider's alone.
SCOPES = [(scope.value, scope.label) for scope in KeyScope if scope != KeyScope.CONSENT_MEMBER]
KEYS = 50


class KeyForm(forms.Form):
    name = forms.CharField(label=_("Name"), max_length=80, help_text=_("What the key is for."))
    scopes = forms.MultipleChoiceField(label=_("What it may do"), choices=SCOPES, widget=forms.CheckboxSelectMultiple)
    expires_on = forms.DateField(
        label=_("Good until"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text=_("Empty: until it is revoked."),
    )

    def clean_expires_on(self) -> dt.datetime | None:
        """The end of that day, in UTC."""
        day: dt.date | None = self.cleaned_data["expires_on"]
        if day is None:
            return None
        if day < timezone.now().date():
            raise forms.ValidationError(_("This day is over."))
        return end_of(day)


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.KEYS_MANAGE)
def settings(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    if request.method != "POST":
        return _page(request, actor, organization)
    match request.POST.get("do"):
        case "create":
            return _created(request, actor, organization)
        case "revoke":
            return _revoked(request, organization)
    return _page(request, actor, organization, status=400)


def _created(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    form = KeyForm(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, actor, organization, form=form, status=400)
    data = form.cleaned_data
    key, text = issue_key(
        data["name"],
        data["scopes"],
        organization=organization,
        expires_at=data["expires_on"],
        issued_by=actor.user,
    )
    return _page(request, actor, organization, made=(key, text))


def _revoked(request: HttpRequest, organization: Organization) -> HttpResponse:
    pk = parse_id(request.POST.get("key", ""))
    key = ApiKey.objects.filter(organization=organization, pk=pk).first() if pk else None
    if key is None:
        raise NotFound("key")
    revoke_key(key)
    messages.success(request, gettext("The key is revoked: from now on nothing can be done with it."))
    return redirect("console:settings", organization.pk)


def _page(
    request: HttpRequest,
    actor: Actor,
    organization: Organization,
    *,
    form: KeyForm | None = None,
    made: tuple[ApiKey, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    keys = ApiKey.objects.visible_to(actor).filter(organization=organization, revoked_at=None)
    context: dict[str, Any] = {
        "keys": keys.select_related("issued_by").order_by("-id")[:KEYS],
        "form": form or KeyForm(label_suffix=""),
        "made": made,
        "webhooks": WebhookEndpoint.objects.filter(organization=organization).count(),
        "now": timezone.now(),
    }
    return page(request, actor, "console/settings.html", context, organization=organization, status=status)
