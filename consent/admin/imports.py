"""Import in steps: upload a file, map its columns, let a worker read it; then the job's page shows the preview."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.characters import storable
from accounts.models import OrganizationKind, Plan

from ..errors import Invalid
from ..files.atomic import BadFile
from ..files.tables import Reading, TableFile
from ..imports import reading as imports
from ..imports.fields import FIELDS, ImportPlan, guess_columns, subjects_left
from ..imports.parsing import shown
from ..models import BulkJob, ImportFile, ImportTable, Source
from ..rules import Choice
from .base import actor_of, run_service
from .forms import OperatorForm, reading_fields, reason_field, refuse_too_large


class UploadForm(OperatorForm):
    table = forms.ChoiceField(label=_("Contents"), choices=ImportTable.choices)
    file = forms.FileField(
        label=_("File"),
        help_text=_(
            "CSV or JSON Lines, of any size, gzip-compressed or not. You choose "
            "separator and encoding in the next step."
        ),
    )


class ReadingForm(OperatorForm):
    """Corrects the detected encoding and separator of a file."""

    encoding, separator = reading_fields().values()

    @classmethod
    def chosen(cls, data: Any) -> Reading:
        """The encoding and separator in the data; '' (detect it) for a value that is missing or not a choice."""
        form = cls(data)
        form.is_valid()
        return Reading(form.cleaned_data.get("encoding", ""), form.cleaned_data.get("separator", ""))


def _mapped(table: str, data: Mapping[str, Any]) -> dict[str, str]:
    """Field → column, as they were sent."""
    given = {field.name: data.get(f"column_{field.name}") for field in FIELDS[table]}
    return {name: column for name, column in given.items() if column}


class ColumnsForm(OperatorForm):
    """Maps the file's columns to fields, and sets values for all rows."""

    def __init__(self, data: Any, *, table: str, columns: list[str], reading: Reading) -> None:
        self.columns = columns
        guessed = {f"column_{name}": column for name, column in guess_columns(table, columns).items()}
        super().__init__(data, initial=guessed | reading._asdict())
        choices = [("", _("None")), *((column, column) for column in columns)]
        for field in FIELDS[table]:
            label = field.label
            if field.required:
                needed = _("%(field)s (this or the next is required)") if field.or_else else _("%(field)s (required)")
                label = needed % {"field": field.label}
            words: dict[str, Any] = {"label": label, "help_text": field.help}
            self.fields[f"column_{field.name}"] = forms.ChoiceField(choices=choices, required=False, **words)
        if table == ImportTable.ORGANIZATIONS:
            self._add_of_organizations()
        self.fields["reason"] = reason_field(help_text=_("Stored in the ledger. Required if the file opts in."))
        self.fields["reference"] = forms.CharField(
            label=_("Reference"),
            required=False,
            max_length=200,
            help_text=_("Where to find the evidence for an earlier start. Required if the file gives one."),
        )
        read = guess_columns(table, columns) if data is None else _mapped(table, data)
        if strange := subjects_left(table, columns, read):
            self.fields["ignored"] = forms.MultipleChoiceField(
                label=_("Columns to leave out"),
                choices=[(column, column) for column in strange],
                required=False,
                widget=forms.CheckboxSelectMultiple,
                help_text=_(
                    "These columns say whom a row is about. Each of them has to be read above or left out here."
                ),
            )
        for name, reads in reading_fields().items():
            reads.widget = forms.HiddenInput()
            self.fields[name] = reads

    def _add_of_organizations(self) -> None:
        self.fields["plans"] = forms.MultipleChoiceField(
            label=_("What they subscribe to"),
            choices=[(plan.key, plan.name) for plan in Plan.objects.all()],
            required=False,
            widget=forms.CheckboxSelectMultiple,
        )
        self.fields["kind"] = forms.ChoiceField(label=_("Kind"), choices=OrganizationKind.choices, initial="team")
        self.fields["default_choice"] = forms.ChoiceField(
            label=_("What all of them chose"),
            choices=[
                ("", _("Nothing, or what the file says")),
                (Choice.OPTED_OUT.value, _("Opted out")),
                (Choice.OPTED_IN.value, _("Opted in")),
            ],
            required=False,
        )

        self.fields["allow_similar"] = forms.BooleanField(
            label=_("Allow similar ids"),
            required=False,
            help_text=_(
                "Also create organizations whose external ids differ from known ones only by case, width, hyphens, "
                "quotes or leading zeros. Otherwise their rows are bad rows."
            ),
        )

    def plan(self, table: str) -> ImportPlan:
        """The validated import plan; raises Invalid with the name of this form's field."""
        data = self.cleaned_data
        columns = _mapped(table, data)
        more: dict[str, Any] = {"ignored": tuple(data.get("ignored", ()))}
        if table == ImportTable.ORGANIZATIONS:
            more |= {name: data[name] for name in ("kind", "default_choice", "allow_similar")}
            more["plans"] = tuple(data["plans"])
        try:
            plan = ImportPlan(table, columns, **more).checked()
            plan.unread(self.columns)
            return plan
        except Invalid as error:
            raise Invalid(error.code, str(error), error.field.replace("columns/", "column_")) from error


def upload(site: admin.AdminSite, request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    status = 200
    if request.method == "POST":
        refuse_too_large(form, request)
        kept = run_service(form, lambda data: _kept(request, data))
        if kept.done:
            return redirect("admin:import_file", kept.result.pk)
        status = kept.status
    return _screen(site, request, "admin/import/upload.html", {"form": form}, title=gettext("Import"), status=status)


def _kept(request: HttpRequest, data: dict[str, Any]) -> ImportFile:
    file = data["file"]
    return imports.upload(table=data["table"], name=file.name, data=file.chunks(1 << 20), actor=actor_of(request))


def columns(site: admin.AdminSite, request: HttpRequest, file_id: str) -> HttpResponse:
    """Maps the columns of an uploaded file, next to its first rows; submitting creates the job that reads the file."""
    file = imports.uploaded_file(file_id, actor_of(request))
    sent = request.POST if request.method == "POST" else None
    chosen = ReadingForm.chosen(sent or request.GET)
    reading = ReadingForm(initial=chosen._asdict())
    try:
        table, first = imports.peek(file, chosen)
    except BadFile as error:
        context = {"file": file, "bad": storable(str(error)), "reading": reading}
        return _screen(site, request, "admin/import/bad.html", context, title=gettext("Import"), status=400)
    form = ColumnsForm(sent, table=file.table, columns=list(table.columns), reading=chosen)
    status = 200
    if sent is not None:
        made = run_service(form, lambda data: _prepared(request, form, file, table, data))
        if made.done:
            return redirect("admin:consent_bulkjob_change", made.result.pk)
        status = made.status
    rows = [([(name, shown(each.values.get(name, ""))) for name in table.columns], each.problem) for each in first]
    context = {"form": form, "file": file, "columns": table.columns, "rows": rows, "reading": reading, "table": table}
    title = gettext("Import of %(file)s") % {"file": file.name}
    return _screen(site, request, "admin/import/columns.html", context, title=title, status=status)


def _prepared(
    request: HttpRequest, form: ColumnsForm, file: ImportFile, table: TableFile, data: dict[str, Any]
) -> BulkJob:
    return imports.prepare(
        plan=form.plan(file.table),
        actor=actor_of(request),
        source=Source.ADMIN,
        name=file.name,
        reason=data["reason"],
        reference=data["reference"],
        **{imports.ENCODING: str(table.encoding), imports.SEPARATOR: table.separator, imports.FILE: str(file.pk)},
    )


def _screen(
    site: admin.AdminSite, request: HttpRequest, template: str, context: dict[str, Any], *, title: str, status: int
) -> HttpResponse:
    request.current_app = site.name
    frame = {**site.each_context(request), "title": title, "subtitle": None}
    return TemplateResponse(request, template, {**frame, **context}, status=status)
