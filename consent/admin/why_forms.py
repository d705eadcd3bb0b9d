"""The form of the page "Why?": a question in people's words, and what is supposed of it."""

import datetime as dt
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts import time_zones
from accounts.access import Actor
from accounts.catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from accounts.fields import split_ident
from accounts.models import Member, Organization, Plan

from ..presentation import finding
from ..suppositions import Supposition
from ..surfaces import DATA_KINDS
from .forms import OperatorForm

KINDS = {
    "conversation": _("Conversations"),
    "document": _("Documents"),
    "output": _("Answers"),
    "other": _("Other content that people provide"),
    "api_input": _("API calls"),
    "api_output": _("Answers to API calls"),
    "related": _("Related data"),
}


def shortly_after(instant: dt.datetime) -> dt.datetime:
    """The next whole millisecond, which a browser's field can hold: after all events of one act."""
    over = instant.microsecond % 1000
    if not over:
        return instant
    try:
        return instant + dt.timedelta(microseconds=1000 - over)
    except OverflowError:  # the last millisecond there is
        return instant.replace(microsecond=999_000)


class InstantInput(forms.DateTimeInput):
    """The browser's own field for date and time, in the reader's time zone, to the millisecond."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"step": "1"})

    def format_value(self, value: Any) -> str | None:
        if isinstance(value, str):
            try:
                told = parse_datetime(value.strip())
            except ValueError:
                told = None
            if told is None:
                return value  # as it was written, for the message beside it
            value = told
        if not isinstance(value, dt.datetime):
            return None
        local = timezone.make_naive(value) if timezone.is_aware(value) else value
        return shortly_after(local).isoformat(timespec="milliseconds").removesuffix(".000")


class WhyForm(OperatorForm):
    """One question for a decision. Instants without a time zone are in the reader's, as the page says.

    Valid only if `organization` and `member` mean one each; else `candidates` are those that a text may mean.
    """

    organization = forms.CharField(
        label=_("Organization"),
        max_length=254,
        required=False,
        help_text=_("Words of its name, its id or external id, or a member's e-mail address."),
    )
    product = forms.ChoiceField(label=_("Product"), choices=Product.choices)
    member = forms.CharField(
        label=_("Member"),
        max_length=254,
        required=False,
        help_text=_(
            "E-mail address, name, id or external id. Required for Le Chat; a personal account means its owner."
        ),
    )
    data_kind = forms.ChoiceField(label=_("Kind of data"), required=False)
    collected_at = forms.DateTimeField(
        label=_("Collected at"),
        required=False,
        help_text=format_lazy(_("Date and time, {zone}. Leave empty for the time asked about."), zone=time_zones.HERE),
        widget=InstantInput,
    )
    at = forms.DateTimeField(
        label=_("Time asked about"),
        required=False,
        help_text=format_lazy(_("Date and time, {zone}. Leave empty for now."), zone=time_zones.HERE),
        widget=InstantInput,
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor = actor
        self.candidates: dict[str, list[Organization] | list[Member]] = {}
        kinds = dict.fromkeys(kind for product in DATA_KINDS.values() for kind in product)
        self.fields["data_kind"].choices = [("", _("Any")), *((kind, KINDS[kind]) for kind in kinds)]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        product, kind = data.get("product"), data.get("data_kind")
        if product and kind and kind not in DATA_KINDS[Product(product)]:
            self.add_error(
                "data_kind", _("%(product)s has no such kind of data.") % {"product": Product(product).label}
            )
        organization = self._organization(data)
        member = self._member(data, organization)
        return {**data, "organization": organization, "member": member}

    def _organization(self, data: dict[str, Any]) -> str:
        """The ident of the organization; '' with an error if there is not one."""
        asked = data.get("organization") or ""
        if not asked and "@" in (data.get("member") or ""):
            asked = data["member"]
        if not asked:
            self.add_error("organization", _("Say which organization, or give a member's e-mail address."))
            return ""
        if split_ident(asked) != (None, None):
            return asked
        found = finding.organizations_meant(asked, self.actor)
        if len(found) == 1:
            # By external id as a pipeline asks, whose answer depends on when the id was given (R16).
            named = Organization.objects.with_external_id(asked).filter(pk=found[0].pk).exists()
            return f"external:{asked}" if named else str(found[0].pk)
        self._not_one("organization", asked, found)
        return ""

    def _member(self, data: dict[str, Any], organization: str) -> str:
        asked = data.get("member") or ""
        if not asked or split_ident(asked) != (None, None) or not organization:
            return asked
        of = Organization.objects.visible_to(self.actor).identified_by(organization).first()
        found = finding.members_meant(asked, of, self.actor) if of else []
        if len(found) == 1:
            named = Member.objects.filter(organization=of).with_external_id(asked).filter(pk=found[0].pk).exists()
            return f"external:{asked}" if named else str(found[0].pk)
        self._not_one("member", asked, found)
        return ""

    def _not_one(self, field: str, asked: str, found: list[Organization] | list[Member]) -> None:
        if found:
            self.candidates[field] = found
            text = _("“%(asked)s” may mean several: choose one of them.")
        elif field == "member":
            text = _("No member has “%(asked)s” as name, e-mail address or external id.")
        else:
            text = _("No organization has “%(asked)s” as name or external id, or as address of a member.")
        self.add_error(field, text % {"asked": asked})


class SupposeForm(OperatorForm):
    """What if: the plan, its default or a lock of the organization were otherwise. Empty fields: as they are."""

    if_plan = forms.ModelChoiceField(
        Plan.objects.none(), label=_("The plan were"), required=False, empty_label=_("As it is")
    )
    if_default = forms.ChoiceField(
        label=_("The plan's default were"),
        required=False,
        choices=[("", _("As it is")), *TrainingDefault.choices],
    )
    if_locked = forms.ChoiceField(
        label=_("A lock were"),
        required=False,
        choices=[("", _("As it is")), ("yes", _("In force")), ("no", _("Not in force"))],
    )

    def __init__(self, *args: Any, product: str, held: str = "", **kwargs: Any) -> None:
        """`held`: the plan that the organization has."""
        super().__init__(*args, **kwargs)
        self.held = held
        self.fields["if_plan"].queryset = Plan.objects.filter(product=product)  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        plan: Plan | None = data.get("if_plan")
        key = plan.key if plan else self.held
        if data.get("if_default") == TrainingDefault.OPTED_IN and key and key not in MAY_DEFAULT_IN:
            self.add_error("if_default", _("This plan can't be opted in by default; the database refuses it."))
        return data

    def supposition(self) -> Supposition:
        plan, default = self.cleaned_data["if_plan"], self.cleaned_data["if_default"]
        locked = {"yes": True, "no": False}.get(self.cleaned_data["if_locked"])
        return Supposition(plan.key if plan else "", default or (plan.training_default if plan else ""), locked)
