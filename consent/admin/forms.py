"""The operators' forms. They check only the form of the input; the rules are in the services."""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts import time_zones
from accounts.catalogue import Product
from accounts.fields import AddressFormField, one_line, split_ident
from accounts.models import ApiKey, KeyScope, Member, Organization, Plan
from config.uploads import is_too_large

from ..files.encodings import CHOICES as ENCODINGS
from ..rules import Choice

if TYPE_CHECKING:
    BasePlanField = forms.ModelChoiceField[Plan]
else:
    BasePlanField = forms.ModelChoiceField


class OperatorForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


def reading_fields() -> dict[str, forms.ChoiceField]:
    """Fields to set a file's encoding and separator, which otherwise are detected from its content."""
    encodings = [("", _("Detect from the file")), *ENCODINGS.items()]
    separators = [
        ("", _("Detect from "
"header and rows")), (",", _("Comma")), (";", _("Semicolon")), ("\t", _("Tab")), ("|", _("Pipe"))
    ]  # fmt: skip
    return {
        "encoding": forms.ChoiceField(label=_("Encoding"), choices=encodings, required=False),
        "separator": forms.ChoiceField(label=_("Between the values"), choices=separators, required=False),
    }


def refuse_too_large(form: forms.Form, request: HttpRequest) -> None:
    """Add an error to the form's field `file` if the upload is too large. Call it before other uses of the form."""
    if is_too_large(request):
        text = _("The file is larger than %(mb)s MiB. Split it, or use the command, which has no limit.")
        form.errors.pop("file", None)
        form.add_error("file", text % {"mb": settings.UPLOAD_MB})


def reason_field(*, required: bool = False, help_text: Any = "") -> forms.CharField:
    # The limit is that of the ledger's column; the services trim a reason and check its length, whoever calls them.
    return forms.CharField(label=_("Reason"), required=required, max_length=500, help_text=help_text)


class ChoiceForm(OperatorForm):
    choice = forms.ChoiceField(choices=[(Choice.OPTED_IN.value, ""), (Choice.OPTED_OUT.value, "")])
    version = forms.IntegerField(required=False, min_value=0)
    reason = forms.CharField(required=False)
    confirmed = forms.BooleanField(required=False)
    # The words that the person saw; `wordings.stated` reads it.
    shown = forms.CharField(required=False)


class PlanField(BasePlanField):
    """A plan, each with its description."""

    def label_from_instance(self, plan: Any) -> str:
        return f"{plan.name} – {plan.description}" if plan.description else plan.name


class PlanForm(OperatorForm):
    """Starts the subscription of a product, or moves it to another plan."""

    plan = PlanField(Plan.objects.none(), label=_("Plan"), widget=forms.RadioSelect, empty_label=None)
    reason = reason_field(required=True)

    def __init__(self, *args: Any, product: str, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"plan-{product}-%s", **kwargs)
        self.fields["plan"].queryset = Plan.objects.filter(product=product)  # type: ignore[attr-defined]


class EndForm(OperatorForm):
    reason = reason_field(required=True)

    def __init__(self, *args: Any, product: str, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"end-{product}-%s", **kwargs)


class LockForm(OperatorForm):
    reason = reason_field(required=True, help_text=_("Shown to the organization."))
    reference = forms.CharField(label=_("Reference"), max_length=200, help_text=_("Contract, law or ticket."))

    def __init__(self, *args: Any, product: str, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"lock-{product}-%s", **kwargs)


class LiftForm(OperatorForm):
    reason = reason_field(required=True)

    def __init__(self, *args: Any, product: str, **kwargs: Any) -> None:
        super().__init__(*args, auto_id=f"lift-{product}-%s", **kwargs)


class WithdrawForm(OperatorForm):
    """Withdraws one of the live external ids of an organization or a member."""

    external_id = forms.ChoiceField(label=_("External id"))
    reason = reason_field(
        required=True,
        help_text=_(
            "From then on this external id identifies nobody. Only a bulk job can give "
            "it to another organization or member."
        ),
    )

    def __init__(self, *args: Any, live: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, auto_id="withdraw-%s", **kwargs)
        self.fields["external_id"].choices = [(value, value) for value in live]  # type: ignore[attr-defined]


class StatusForm(OperatorForm):
    """Closes the account, or reopens it."""

    reason = reason_field(required=True)


class DetailsForm(OperatorForm):
    name = forms.CharField(label=_("Name"), max_length=200)
    external_id = forms.CharField(
        label=_("External id"), max_length=200, required=False, help_text=_("The provider's own account id; unique.")
    )
    country = forms.CharField(label=_("Country"), max_length=2, required=False, help_text=_("Two letters, like FR."))
    kind = forms.ChoiceField(label=_("Kind"), choices=Organization.Kind.choices)


class NewOrganizationForm(DetailsForm):
    kind = forms.ChoiceField(label=_("Kind"), choices=Organization.Kind.choices, initial=Organization.Kind.TEAM)
    owner_email = AddressFormField(
        label=_("Owner's e-mail"), required=False, help_text=_("Only for a personal organization.")
    )
    owner_name = forms.CharField(label=_("Owner's name"), required=False, max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for product in Product:
            self.fields[f"plan_{product.value}"] = PlanField(
                Plan.objects.filter(product=product),
                label=_("Plan for %(product)s") % {"product": product.label},
                required=False,
                empty_label=str(_("No subscription")),
            )
            self.fields[f"opt_out_{product.value}"] = forms.BooleanField(
                label=_("Opted out of training from the start: %(product)s") % {"product": product.label},
                required=False,
            )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("kind") == Organization.Kind.PERSONAL and not data.get("owner_email"):
            self.add_error("owner_email", _("Give the owner of the personal organization."))
        if data.get("kind") == Organization.Kind.TEAM and (data.get("owner_email") or data.get("owner_name")):
            self.add_error(
                "owner_email",
                _("Give an owner only for a personal organization; add the members of other organizations later."),
            )
        return data


class MemberForm(OperatorForm):
    role = forms.ChoiceField(label=_("Role"), choices=Member.Role.choices, initial=Member.Role.MEMBER)
    external_id = forms.CharField(
        label=_("External id"), max_length=200, required=False, help_text=_("Unique in the organization.")
    )


class NewMemberForm(MemberForm):
    email = forms.CharField(label=_("E-mail"))
    name = forms.CharField(
        label=_("Name"),
        required=False,
        max_length=200,
        help_text=_("If the person already exists, their name is not changed."),
    )
    field_order = ["email", "name", "role", "external_id"]


def _ident(value: str) -> None:
    if value and split_ident(value) == (None, None):
        raise ValidationError(
            _("“%(value)s” is not an id. Give an id, or external: followed by an external id.") % {"value": value}
        )


class IdentField(forms.CharField):
    """An id, or `external:` and an external id. Checks only the syntax, not whether it exists."""

    default_validators = [_ident]


class KeyForm(OperatorForm):
    name = forms.CharField(
        label=_("Name"), max_length=80, validators=[one_line], help_text=_("What the key will be used for.")
    )
    organization = IdentField(
        label=_("Organization"),
        required=False,
        help_text=_(
            "Its id, or external: followed by its external id. Leave empty for an operator "
            "key, which is valid for all organizations."
        ),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        # A consumer's key is made with the consumer.
        choices=lambda: [
            (scope.value, f"{scope.value} – {scope.label}")
            for scope in ApiKey.Scope
            if scope != KeyScope.CONSUMER_WRITE
        ],
        widget=forms.CheckboxSelectMultiple,
    )
    expires_at = forms.DateTimeField(
        label=_("Expires"),
        required=False,
        help_text=format_lazy(
            _("Example: 2027-01-31 14:00 ({zone}). Leave empty if the key is never to expire."),
            zone=time_zones.HERE,
        ),
        widget=forms.TextInput,
    )

    def clean_expires_at(self) -> dt.datetime | None:
        value: dt.datetime | None = self.cleaned_data["expires_at"]
        if value is not None and value <= timezone.now():
            raise ValidationError(_("That is in the past."))
        return value


class AfterForm(OperatorForm):
    """The keyset cursor of the next page: the id of the last member or event shown."""

    member = forms.UUIDField(required=False)
    event = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
