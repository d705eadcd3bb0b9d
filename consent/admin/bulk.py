"""Bulk change: a choice for many, a new default of a plan, or external ids to move; each is previewed as a job."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import time_zones
from accounts.fields import rfc3339
from accounts.models import OrganizationKind, OrganizationStatus, Plan

from ..errors import Invalid
from ..files.atomic import BadFile
from ..files.tables import MissingColumn, Reading, TableFile
from ..jobs import actions
from ..jobs.list_errors import BadList
from ..jobs.rebind_files import RebindFile
from ..jobs.selection import ListFile, Selection
from ..models import BulkJob, ReasonCode, Source
from ..rules import Choice
from ..surfaces import ORGANIZATION_SURFACES, SURFACES
from .base import actor_of, run_service
from .forms import OperatorForm, PlanField, reading_fields, reason_field, refuse_too_large

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

_CHOICES = [(Choice.OPTED_OUT.value, _("Opt out")), (Choice.OPTED_IN.value, _("Opt in"))]
CHOICE_LABELS = [
    (Choice.DEFAULT.value, _("Nothing chosen")),
    (Choice.OPTED_OUT.value, _("Opted out")),
    (Choice.OPTED_IN.value, _("Opted in")),
]
# The reasons that the setting of an organization can have; the others belong to members or to decisions.
_REASONS = (
    ReasonCode.PLAN_DEFAULT,
    ReasonCode.CARRIED_OVER,
    ReasonCode.ORGANIZATION_OPTED_OUT,
    ReasonCode.ORGANIZATION_OPTED_IN,
    ReasonCode.LOCKED,
    ReasonCode.NO_SUBSCRIPTION,
    ReasonCode.ORGANIZATION_CLOSED,
)
_ABOUT = ("surface", "choice", "reason")
# Part of a selection → its field here, where it has another name than in the API and in jobs: these two are taken.
_FIELDS = {"choice": "standing", "reason": "because"}
_ZONED = format_lazy(_("Example: 2026-01-31 14:00 ({zone})."), zone=time_zones.HERE)


def _several(label: Any, choices: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(label=label, choices=choices, required=False, widget=forms.CheckboxSelectMultiple)


class BulkForm(OperatorForm):
    """A choice and the organizations that it is for; they must match all given parts of the selection."""

    surface = forms.ChoiceField(label=_("For"), choices=[(s.key, s.product.label) for s in ORGANIZATION_SURFACES])
    choice = forms.ChoiceField(label=_("Choice"), choices=_CHOICES, widget=forms.RadioSelect, required=False)
    reason = reason_field(help_text=_("Stored in the ledger. Required for opting in."))
    everything = forms.BooleanField(label=_("All organizations"), required=False)
    plan = _several(_("On one of these plans"), [])
    standing = _several(_("What they have chosen"), CHOICE_LABELS)
    because = _several(_("Why it is used or not"), [(reason.value, reason.label) for reason in _REASONS])
    kind = _several(_("Kind"), OrganizationKind.choices)
    status = _several(_("Account"), OrganizationStatus.choices)
    country = forms.CharField(
        label=_("Countries"), required=False, help_text=_("Two-letter codes with spaces between them: FR DE.")
    )
    created_from = forms.DateTimeField(
        label=_("Created from"), required=False, help_text=_ZONED, widget=forms.TextInput
    )
    created_until = forms.DateTimeField(
        label=_("Created before"), required=False, help_text=_ZONED, widget=forms.TextInput
    )
    organizations = forms.CharField(
        label=_("These organizations"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("One per line: an id, or external: followed by an external id."),
    )
    file = forms.FileField(
        label=_("Organizations from a file"),
        required=False,
        help_text=_(
            "CSV or JSON Lines with a column organization or external_id. If a column choice gives the choice of each "
            "organization, leave the choice above empty."
        ),
    )
    encoding, separator = reading_fields().values()
    broad = ("everything", "organizations", "file")  # fields that take the page's whole width

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="bulk-%s", **kwargs)
        plans = [(plan.key, plan.name) for plan in Plan.objects.all()]
        self.fields["plan"].choices = plans  # type: ignore[attr-defined]

    def about(self) -> list[forms.BoundField]:
        return [self[name] for name in _ABOUT]

    def scope(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name not in _ABOUT]

    def selection(self) -> Selection | None:
        """The selection; None if only a file names the organizations. Raises Invalid with this form's field."""
        data = self.cleaned_data
        parts: dict[str, Any] = {
            "everything": data["everything"],
            "plan": data["plan"],
            "choice": data[_FIELDS["choice"]],
            "reason": data[_FIELDS["reason"]],
            "kind": data["kind"],
            "status": data["status"],
            "country": data["country"].replace(",", " ").split(),
            "organizations": data["organizations"].split("\n") if data["organizations"] else (),
            "created_from": rfc3339(data["created_from"]),
            "created_until": rfc3339(data["created_until"]),
        }
        given = {name: value for name, value in parts.items() if value}
        if "organizations" in given:
            given["organizations"] = [line.strip() for line in given["organizations"] if line.strip()]
        if not given and data["file"]:
            return None
        try:
            return Selection.from_json(given)
        except Invalid as error:
            part = error.field.partition("/")[2]
            raise Invalid(error.code, str(error), _FIELDS.get(part, part)) from error


class DefaultForm(OperatorForm):
    plan = PlanField(Plan.objects.all(), label=_("Plan"))
    default = forms.ChoiceField(label=_("Training by default"), choices=CHOICE_LABELS[1:], widget=forms.RadioSelect)
    reason = reason_field(required=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="default-%s", **kwargs)


class RebindForm(OperatorForm):
    file = forms.FileField(
        label=_("External ids from a file"),
        help_text=_(
            "CSV or JSON Lines with the columns external_id and organization, and also member if the external id is "
            "for a member. Give organizations and members by their id, or by external: followed by their external "
            "id."
        ),
    )
    encoding, separator = reading_fields().values()
    reason = reason_field(required=True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, auto_id="rebind-%s", **kwargs)


def part_label(part: str) -> str:
    """The form's label of a part of a selection."""
    return str(BulkForm.base_fields[_FIELDS.get(part, part)].label)


def bulk(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    """The page with its three forms. Submitting one creates a preview, which is a job and changes nothing yet."""
    scope = BulkForm(initial={"choice": Choice.OPTED_OUT.value})
    default = DefaultForm(initial={"plan": request.GET.get("plan")})  # the page of a plan leads here
    rebind = RebindForm()
    status = 200
    if request.method == "POST" and "rebind" in request.POST:
        rebind = RebindForm(request.POST, request.FILES)
        refuse_too_large(rebind, request)
        made = run_service(rebind, lambda data: _preview_rebind(request, data))
    elif request.method == "POST" and "default" in request.POST:
        default = DefaultForm(request.POST)
        made = run_service(default, lambda data: _preview_default(request, data))
    elif request.method == "POST":
        scope = BulkForm(request.POST, request.FILES)
        refuse_too_large(scope, request)
        made = run_service(scope, lambda data: _preview(request, scope, data))
    else:
        made = None
    if made is not None:
        if made.done:
            return redirect("admin:consent_bulkjob_change", made.result.pk)
        status = made.status
    frame = {**site.each_context(request), "title": gettext("Bulk change"), "subtitle": None}
    request.current_app = site.name
    context = {**frame, "form": scope, "default_form": default, "rebind_form": rebind}
    return TemplateResponse(request, "admin/bulk/scope.html", context, status=status)


def _preview(request: HttpRequest, form: BulkForm, data: dict[str, Any]) -> BulkJob:
    wanted: dict[str, Any] = {
        "surface": SURFACES[data["surface"]],
        "choice": data["choice"],
        "reason": data["reason"],
        "selection": form.selection(),
        "actor": actor_of(request),
        "source": Source.ADMIN,
    }
    if not data["file"]:
        try:
            return actions.preview_choice(**wanted)
        except Invalid as error:
            raise Invalid(error.code, str(error), error.field.removeprefix("select/")) from error
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = ListFile(_kept(data["file"], folder), _how(data))
            _tell_encoding(request, file.table)
            return actions.preview_choice(**wanted, wishes=file)
    except BadList as error:
        text = "\n".join([str(error), *error.problems[1:], *error.unknown[5:]])
        raise Invalid(error.code, text, "file") from error
    except (BadFile, MissingColumn) as error:
        raise Invalid("bad_file", str(error), "file") from error


def _preview_rebind(request: HttpRequest, data: dict[str, Any]) -> BulkJob:
    try:
        with tempfile.TemporaryDirectory() as folder:
            wishes = RebindFile(_kept(data["file"], folder), _how(data))
            _tell_encoding(request, wishes.table)
            by: dict[str, Any] = {"actor": actor_of(request), "source": Source.ADMIN}
            return actions.preview_rebind(wishes=wishes, reason=data["reason"], **by)
    except BadList as error:
        raise Invalid(error.code, "\n".join([str(error), *error.problems[1:]]), "file") from error
    except (BadFile, MissingColumn) as error:
        raise Invalid("bad_file", str(error), "file") from error


def _how(data: dict[str, Any]) -> Reading:
    return Reading(data["encoding"], data["separator"])


def _tell_encoding(request: HttpRequest, file: TableFile) -> None:
    if file.encoding.doubtful:
        text = gettext("The encoding of the file can't be detected for certain. It is read as %(encoding)s.")
        messages.warning(request, text % {"encoding": file.encoding.label})


def _kept(file: "UploadedFile[bytes]", folder: str) -> str:
    path = Path(folder) / "list"
    with path.open("wb") as out:
        for piece in file.chunks():
            out.write(piece)
    return str(path)


def _preview_default(request: HttpRequest, data: dict[str, Any]) -> BulkJob:
    return actions.preview_default(
        plan=data["plan"],
        default=data["default"],
        reason=data["reason"],
        actor=actor_of(request),
        source=Source.ADMIN,
    )
