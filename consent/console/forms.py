"""The console's forms. They check only the form of the input; the rules are in the services."""

from typing import Any

from django import forms
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts import time_zones
from accounts.catalogue import Product

from ..models import ABOUT, TOLD_TO_ORGANIZATIONS, EventKind
from ..rules import Choice


class ChoiceForm(forms.Form):
    choice = forms.ChoiceField(choices=[(Choice.OPTED_IN.value, ""), (Choice.OPTED_OUT.value, "")])
    # The version of the setting that the person saw: an opt-in with an outdated one is refused.
    version = forms.IntegerField(required=False, min_value=0)
    reason = forms.CharField(required=False, strip=True)
    # Opting in needs a confirmation; this says that it was given.
    confirmed = forms.BooleanField(required=False)
    # The words that the person saw; `wordings.stated` reads it.
    shown = forms.CharField(required=False)


_KINDS = [(kind.value, kind.label) for kind in EventKind if kind in TOLD_TO_ORGANIZATIONS]


class HistoryFilter(forms.Form):
    about = forms.ChoiceField(
        label=_("About"),
        required=False,
        choices=[("", _("Everything")), ("use", _("Data use")), ("access", _("Access"))],
    )
    by = forms.ChoiceField(
        label=_("Who"),
        required=False,
        choices=[("", _("Everybody")), ("provider", _("The provider")), ("others", _("Everybody but the provider"))],
    )
    product = forms.ChoiceField(label=_("Product"), required=False, choices=[("", _("All products")), *Product.choices])
    kind = forms.ChoiceField(label=_("What"), required=False, choices=[("", _("All changes")), *_KINDS])
    since = forms.DateField(
        label=format_lazy(_("From ({zone})"), zone=time_zones.HERE),
        required=False,
        widget=forms.DateInput({"type": "date"}),
    )
    until = forms.DateField(
        label=format_lazy(_("Until ({zone})"), zone=time_zones.HERE),
        required=False,
        widget=forms.DateInput({"type": "date"}),
    )
    after = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def conditions(self) -> dict[str, Any]:
        """The filters as keyword arguments of QuerySet.filter; days are whole and the reader's, `until` included."""
        data = self.cleaned_data
        found: dict[str, Any] = {name: data[name] for name in ("product", "kind") if data.get(name)}
        if data.get("about"):
            found["kind__in"] = sorted(ABOUT[data["about"]])
        if data.get("by"):
            found["by_operator"] = data["by"] == "provider"
        if data.get("since"):
            found["recorded_at__gte"] = time_zones.start_of(data["since"])
        if data.get("until"):
            found["recorded_at__lt"] = time_zones.end_of(data["until"])
        return found


class SeenForm(forms.Form):
    """Up to which position somebody has seen the provider's acts, and where they were."""

    position = forms.IntegerField(min_value=1, max_value=2**63 - 1)
    next = forms.CharField(required=False)


class Keyset(forms.Form):
    after = forms.UUIDField(required=False)
