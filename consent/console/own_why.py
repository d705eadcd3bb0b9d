"""Data & Account Controls › Why?: a person's own proof, of a day of their choice and of earlier training."""

from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts import time_zones
from accounts.access import Actor, NotFound
from accounts.fields import parse_id
from accounts.models import Member

from ..log import keys as log_keys
from ..presentation import own_proof
from .pages import page, person_page


class DayForm(forms.Form):
    day = forms.DateField(
        label=format_lazy(_("Day ({zone})"), zone=time_zones.HERE),
        widget=forms.DateInput({"type": "date"}),
    )

    def clean_day(self) -> Any:
        asked = self.cleaned_data["day"]
        if asked > timezone.localdate():
            raise forms.ValidationError(_("This day is still to come."))
        return asked


@require_safe
@person_page
def own_why(request: HttpRequest, actor: Actor, member: str) -> HttpResponse:
    """Of the person's own memberships alone; others are a 404, for operators too."""
    pk = parse_id(member)
    mine = Member.objects.of_person(actor).select_related("organization", "user")
    own = next((each for each in mine if each.pk == pk), None)
    if own is None:
        raise NotFound("member")
    form = DayForm(
        request.GET if "day" in request.GET else None, initial={"day": timezone.localdate()}, label_suffix=""
    )
    valid = form.is_bound and form.is_valid()
    opt_outs, removed = own_proof.removed(own)
    context = {
        "member": own,
        "form": form,
        "asked": form.cleaned_data["day"] if valid else None,
        "answers": own_proof.of_day(own, form.cleaned_data["day"], actor) if valid else [],
        "opt_outs": opt_outs,
        "removed": removed,
        "receipts": log_keys.is_on(),
    }
    return page(request, actor, "console/own_why.html", context, status=400 if form.is_bound and not valid else 200)
