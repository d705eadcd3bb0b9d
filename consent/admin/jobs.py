"""Bulk jobs: the list, and each job's page: its preview, progress, buttons and downloads."""

import tempfile
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, Subquery
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import formats
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.models import OrganizationKind, OrganizationStatus, Plan
from config import media_types
from config.timeouts import unlimited

from ..errors import ServiceError
from ..files.exports import CSV, JSON_LINES
from ..imports import outcomes
from ..imports.error_report import write_problems
from ..imports.judging import BAD, OPT_OUT
from ..imports.reading import UNREAD
from ..imports.staging import DUPLICATE
from ..jobs import actions, approval, cases, engine, reports, states
from ..jobs.states import Verb
from ..models import BulkJob, JobKind, JobStatus, ReasonCode, Source
from ..rules import Choice
from ..services.exports import Export, note_export
from ..surfaces import SURFACES
from .base import PageAdmin, actor_of, instant, require_post, state_words
from .bulk import CHOICE_LABELS, part_label
from .lists import two_lines

_SHOWN = 50  # at most so many problems and lines of the summary on the page; the download has all
_MOVING = (JobStatus.READING, JobStatus.QUEUED, JobStatus.RUNNING)
_VERBS: dict[str, Callable[..., BulkJob]] = {
    "approve": actions.approve,
    "pause": actions.pause,
    "resume": actions.resume,
    "cancel": actions.cancel,
}
_SAID = {
    "approve": _("Approved. A worker runs the job."),
    "pause": _("The job will pause as soon as the current rows are done."),
    "resume": _("The job continues where it stopped."),
    "cancel": _("The job is stopped. Changes already made are kept."),
}
_PEOPLE = ("author", "author_key", "submitter", "approver")
_FORMS = {"csv": (CSV, media_types.CSV), "jsonl": (JSON_LINES, media_types.JSON_LINES)}


@admin.register(BulkJob)
class BulkJobAdmin(PageAdmin):
    can_change = True
    list_title = _("Jobs")
    list_display = ("what", "status", "rows", "author", "created")
    list_select_related = ("author",)
    list_filter = ("status", "kind")
    ordering = ("-id",)
    sortable_by = ()

    created = instant("created_at", _("created"))

    def get_queryset(self, request: HttpRequest) -> Any:
        return named(super().get_queryset(request))

    @admin.display(description=_("job"))
    def what(self, job: BulkJob) -> str:
        return two_lines(title_of(job), job.reason)

    @admin.display(description=_("rows"))
    def rows(self, job: BulkJob) -> str:
        matched = formats.number_format(job.matched)
        if job.started_at is None:
            return matched
        return gettext("%(done)s of %(matched)s") % {"done": formats.number_format(job.cursor), "matched": matched}

    def job(self, object_id: str) -> BulkJob:
        found: BulkJob = self.get_or_404(BulkJob.objects.select_related(*_PEOPLE), object_id)
        return found

    # --- The page ---

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(request, self.job(object_id))

    def _page(self, request: HttpRequest, job: BulkJob, refused: ServiceError | None = None) -> HttpResponse:
        context = self._told(request, job) | {"original": job, "refused": refused}
        if refused is not None and refused.code == "drifted":
            context["drifted"] = True
        status = 200 if refused is None else refused.http_status
        return self.screen(request, "admin/jobs/page.html", context, title=title_of(job), status=status)

    def state_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The part of the page that the browser polls while the job runs."""
        job = self.job(object_id)
        return TemplateResponse(request, "admin/jobs/state.html", self._told(request, job))

    def _told(self, request: HttpRequest, job: BulkJob) -> dict[str, Any]:
        progress, found = engine.progress(job), reports.numbers(job)
        possible = states.possible(job, actor_of(request))
        if not found.changed and not job.plan:  # nothing to run; but a plan's default can change without any rows
            possible = [verb for verb in possible if verb is not Verb.RUN]
        refused = {name: count for name, count in found.refused.items() if name not in (BAD, DUPLICATE)}
        return {
            "job": job,
            "title": title_of(job),
            "moving": job.status in _MOVING,
            "ran": job.started_at is not None,
            "numbers": found,
            "refusals": [(outcomes.in_words(name), count) for name, count in sorted(refused.items())],
            "bad": job.preview.get(BAD, 0),
            "duplicates": job.preview.get(DUPLICATE, 0),
            "progress": progress,
            "left": _time(progress.eta),
            "selection": [(part_label(part), ", ".join(map(str, _listed(value)))) for part, value in _scope(job)],
            "summary": _summary(job) if job.status in states.SHOWS_PREVIEW else (),
            "sample": _sample(job) if job.status in states.SHOWS_PREVIEW else (),
            "approval_refused": _approval_refused(request, job),
            "unread": ", ".join(map(str, _listed(job.selection.get(UNREAD, ())))),
            "problems": job.problems.all()[:_SHOWN],
            "problem_count": job.problems.count() if job.kind == JobKind.IMPORT else 0,
            "buttons": [verb for verb in possible if verb is not Verb.UNDO],
            "undoable": Verb.UNDO in possible,
        }

    # --- What is sent from it ---

    @require_post
    def run_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Submits the previewed job. The form sends the digest, so that only the preview that was shown can run."""
        job = self.job(object_id)
        try:
            job = actions.submit(
                job=job,
                actor=actor_of(request),
                digest=request.POST.get("digest", ""),
                accept_drift=request.POST.get("accept_drift") == "true",
            )
        except ServiceError as error:
            return self._page(request, self.job(object_id), error)
        if job.status == JobStatus.AWAITING_APPROVAL:
            messages.success(request, gettext("Nothing is changed yet: another operator has to approve the job."))
        return redirect("admin:consent_bulkjob_change", job.pk)

    @require_post
    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        if verb not in _VERBS:
            raise Http404
        job, more = self.job(object_id), {}
        if verb == "approve":
            more = {"digest": request.POST.get("digest", "")}
        try:
            _VERBS[verb](job=job, actor=actor_of(request), **more)
        except ServiceError as error:
            return self._page(request, self.job(object_id), error)
        messages.success(request, _SAID[verb])
        return redirect("admin:consent_bulkjob_change", job.pk)

    @require_post
    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Previews an undo, which is a job of its own."""
        job = self.job(object_id)
        reason = request.POST.get("reason", "")
        try:
            undo = actions.preview_undo(job=job, actor=actor_of(request), source=Source.ADMIN, reason=reason)
        except ServiceError as error:
            return self._page(request, job, error)
        return redirect("admin:consent_bulkjob_change", undo.pk)

    @unlimited()
    def file_view(self, request: HttpRequest, object_id: str, what: str, form: str) -> HttpResponse | FileResponse:
        """Downloads all rows, the refused rows, or the problems of an import.

        The file is written to disk first: however large it is, it is not held in memory.
        """
        job = self.job(object_id)
        if what not in ("rows", "refused", "problems") or form not in _FORMS:
            raise Http404
        spelled, content_type = _FORMS[form]
        # A HEAD request takes no data away, so it is not recorded as an export.
        if request.method == "GET":
            taken = Export.JOB_ROWS if what == "refused" else Export.JOB_PROBLEMS
            note_export(taken, organization=None, actor=actor_of(request), source=Source.ADMIN, target=job.pk)
        file = tempfile.TemporaryFile()  # noqa: SIM115  the response closes it
        out = TextIOWrapper(file, "utf-8", newline="", write_through=True)
        if what == "problems":
            write_problems(job, out, spelled)
        else:
            reports.write_rows(job, out, spelled, refused=what == "refused")
        out.detach()  # flushes, and leaves the file open for the response
        file.seek(0)
        return FileResponse(file, as_attachment=True, filename=f"{what}-{job.pk}.{form}", content_type=content_type)

    def get_urls(self) -> list[Any]:
        wrap, name, one = self.admin_site.admin_view, "consent_bulkjob", "<str:object_id>"
        return [
            path(f"{one}/state/", wrap(self.state_view), name=f"{name}_state"),
            path(f"{one}/run/", wrap(self.run_view), name=f"{name}_run"),
            path(f"{one}/undo/", wrap(self.undo_view), name=f"{name}_undo"),
            path(f"{one}/verbs/<str:verb>/", wrap(self.verb_view), name=f"{name}_verb"),
            path(f"{one}/files/<str:what>.<str:form>", wrap(self.file_view), name=f"{name}_file"),
            *super().get_urls(),
        ]


def _approval_refused(request: HttpRequest, job: BulkJob) -> str:
    """Why this operator can't approve the job; '' if they can, or if it does not wait for approval."""
    if job.status != JobStatus.AWAITING_APPROVAL:
        return ""
    return approval.refusal(job, actor_of(request))


_VALUES: dict[str, Any] = dict(CHOICE_LABELS)


def _value(name: str) -> str:
    """A choice as its label; other values, such as a plan's key or a role, unchanged; a dash for none."""
    return str(_VALUES.get(name, name)) or "–"


def _outcome(name: str) -> str:
    if name in (cases.CHANGE, cases.SAME, OPT_OUT, ""):
        return outcomes.in_words(name) if name == cases.SAME else ""
    return gettext("Skipped: %(reason)s") % {"reason": outcomes.in_words(name)}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    told = {name: _value(row[name]) for name in ("before", "after")} | {"outcome": _outcome(row["outcome"])}
    used = {name: None if row[name] is None else state_words(row[name]) for name in ("used_before", "used_after")}
    return row | told | used


def _summary(job: BulkJob) -> list[dict[str, Any]]:
    """The counts that the preview stored, largest first."""
    plans = dict(Plan.objects.values_list("key", "name"))
    return [_shown(row) | {"plan": plans.get(row["plan"], row["plan"]) or "–"} for row in job.summary[:_SHOWN]]


def _sample(job: BulkJob) -> list[dict[str, Any]]:
    names = ("organization", "external_id", "name", "before", "after", "used_before", "used_after", "since", "outcome")
    return [_shown({name: getattr(row, name) for name in names}) for row in reports.sample(job)]


def named(jobs: Any) -> Any:
    """The queryset with the name of each job's plan, for its title."""
    return jobs.annotate(plan_name=Subquery(Plan.objects.filter(key=OuterRef("plan")).values("name")))


def _plan_of(job: BulkJob) -> str:
    if not job.plan:
        return ""
    known = getattr(job, "plan_name", None)
    return known or Plan.objects.filter(key=job.plan).values_list("name", flat=True).first() or job.plan


def title_of(job: BulkJob) -> str:
    """A short title that says what the job does. From `named` it needs no query."""
    words = {"default": _plan_of(job), "file": job.selection.get("name", "")}
    match job.kind:
        case JobKind.UNDO:
            return gettext("Undo of a job")
        case JobKind.PLAN_DEFAULT if job.wanted == Choice.OPTED_IN:
            return gettext("Default of %(default)s: opted in") % words
        case JobKind.PLAN_DEFAULT:
            return gettext("Default of %(default)s: opted out") % words
        case JobKind.REBIND:
            return gettext("External ids moved to others")
        case JobKind.IMPORT:
            return gettext("Import of %(file)s") % words
    product = SURFACES[job.surface].product.label
    if job.wanted == Choice.OPTED_OUT:
        return gettext("Opt out of %(product)s training") % {"product": product}
    if job.wanted == Choice.OPTED_IN:
        return gettext("Opt in to %(product)s training") % {"product": product}
    return gettext("Different choices for %(product)s") % {"product": product}


def _scope(job: BulkJob) -> list[tuple[str, Any]]:
    """The parts of the job's selection with their values, of closed lists in words."""
    if job.kind != JobKind.CHOICE:
        return []
    words: dict[str, dict[str, Any]] = {
        "plan": dict(Plan.objects.values_list("key", "name")),
        "choice": dict(CHOICE_LABELS),
        "reason": dict(ReasonCode.choices),
        "kind": dict(OrganizationKind.choices),
        "status": dict(OrganizationStatus.choices),
    }
    return [
        (part, [words[part].get(each, each) for each in value] if part in words and isinstance(value, list) else value)
        for part, value in job.selection.items()
    ]


def _listed(value: Any) -> list[Any]:
    if value is True:
        return [gettext("yes")]
    listed = list(value) if isinstance(value, list | tuple) else [value]
    more = len(listed) - 20
    return [*listed[:20], gettext("and %(n)s more") % {"n": more}] if more > 0 else listed


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        count = max(1, round(seconds))
        return ngettext("%(n)s second to go", "%(n)s seconds to go", count) % {"n": count}
    count = round(seconds / 60)
    return ngettext("%(n)s minute to go", "%(n)s minutes to go", count) % {"n": count}
