"""What people send from the screens: shape is checked here, the rules in the services."""

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product

from ..models import EventKind
from ..rules import Choice


class ChoiceForm(forms.Form):
    choice = forms.ChoiceField(choices=[(Choice.OPTED_IN.value, ""), (Choice.OPTED_OUT.value, "")])
    # The version of the setting that the person saw; a stale opt-in is refused.
    version = forms.IntegerField(required=False, min_value=0)
    reason = forms.CharField(required=False, strip=True)
    # Opting in asks once; this says that it was asked.
    confirmed = forms.BooleanField(required=False)


class HistoryFilter(forms.Form):
    product = forms.ChoiceField(label=_("Product"), required=False, choices=[("", _("All products")), *Product.choices])
    kind = forms.ChoiceField(label=_("What"), required=False, choices=[("", _("All changes")), *EventKind.choices])
    after = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)


class Keyset(forms.Form):
    after = forms.UUIDField(required=False)
