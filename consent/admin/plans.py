"""Plans: operators make them, and edit their names, descriptions and order. A job changes a plan's default."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product, TrainingDefault
from accounts.models import Plan

from ..models import PLAN_KINDS, BulkJob, ConsentEvent, Source
from ..models.jobs import JobKind, JobStatus
from ..presentation import actors, targets
from ..services import plans
from .base import HistoryEntry, OperatorAdmin, actor_of, run_service
from .forms import OperatorForm, reason_field

_SHOWN = 50
_SUBMITTED = [status for status in JobStatus if status not in (JobStatus.READING, JobStatus.PREVIEWED)]


class EditForm(OperatorForm):
    name = forms.CharField(label=_("Name"), max_length=80)
    description = forms.CharField(
        label=_("Description"),
        max_length=300,
        required=False,
        help_text=_("Shown where a plan is chosen, in every language as you write it."),
    )
    position = forms.IntegerField(
        label=_("Position"),
        min_value=0,
        max_value=plans.LAST_POSITION,
        help_text=_("Lists of plans are in this order, from the lowest."),
    )
    reason = reason_field(help_text=_("Kept in the history."))


class NewForm(OperatorForm):
    product = forms.ChoiceField(label=_("Product"), choices=Product.choices)
    key = forms.CharField(
        label=_("Key"),
        max_length=40,
        help_text=_("How files and programs name it, like le_chat_team_plus. It can't be changed later."),
    )
    name, description = EditForm.base_fields["name"], EditForm.base_fields["description"]
    training_default = forms.ChoiceField(
        label=_("Training by default"),
        choices=TrainingDefault.choices,
        initial=TrainingDefault.OPTED_OUT,
        help_text=_("A new plan is opted out by default; the database allows “opted in” only for plans it names."),
    )
    reason = reason_field(help_text=_("Kept in the history."))


def page_url(plan: Plan) -> str:
    return reverse("admin:accounts_plan_change", args=[quote(plan.pk)])


@admin.register(Plan)
class PlanAdmin(OperatorAdmin):
    can_add = can_change = True
    list_display = ("name", "key", "product", "training_default", "description")
    list_display_links = ("name",)
    list_filter = ("product", "training_default")
    ordering = ("position", "key")
    sortable_by = ()

    def get_urls(self) -> list[Any]:
        return [url for url in super().get_urls() if not str(getattr(url, "name", "")).endswith("_history")]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form, status = NewForm(request.POST if request.method == "POST" else None), 200
        if request.method == "POST":
            by: dict[str, Any] = {"actor": actor_of(request), "source": Source.ADMIN}
            made = run_service(form, lambda data: plans.create_plan(**data, **by))
            if made.done:
                messages.success(request, gettext("The plan is made. Nobody is subscribed to it yet."))
                return redirect(page_url(made.result))
            status = made.status
        context = {"form": form, "submit": gettext("Make the plan")}
        return self.screen(request, "admin/form.html", context, title=gettext("New plan"), status=status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        plan = Plan.objects.filter(pk=unquote(object_id)).first()
        if plan is None:
            raise Http404
        if request.method != "POST":
            return self._page(request, plan)
        form = EditForm(request.POST)
        by: dict[str, Any] = {"actor": actor_of(request), "source": Source.ADMIN}
        done = run_service(form, lambda data: plans.edit_plan(plan=plan, **data, **by))
        if not done.done:
            return self._page(request, plan, form, done.status)
        messages.success(request, gettext("Saved."))
        return redirect(page_url(plan))

    def _page(self, request: HttpRequest, plan: Plan, form: EditForm | None = None, status: int = 200) -> HttpResponse:
        current = {name: getattr(plan, name) for name in ("name", "description", "position")}
        context = {
            "original": plan,
            "form": form or EditForm(initial=current),
            "history": history(request, plan),
        }
        return self.screen(request, "admin/plan.html", context, title=plan.name, status=status)


def history(request: HttpRequest, plan: Plan) -> list[HistoryEntry]:
    """What concerns the plan itself, latest first: when it was made and edited, and the jobs for its default."""
    # Of no organization: so the database finds them among the provider's own events, by the index of histories.
    about = ConsentEvent.objects.filter(organization=None, kind__in=PLAN_KINDS, target=plan.key)
    events = list(about.order_by("-pk")[:_SHOWN])
    who, names = actors.labels(events, actor_of(request)), targets.labels(events, actor_of(request))
    jobs = BulkJob.objects.filter(kind=JobKind.PLAN_DEFAULT, plan=plan.key, status__in=_SUBMITTED)
    entries = [
        *(_of_event(each, who[each.pk], names.words(each.after)) for each in events),
        *(_of_job(each) for each in jobs.select_related("author", "approver").order_by("-pk")[:_SHOWN]),
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)[:_SHOWN]


def _of_event(event: ConsentEvent, who: str, change: str) -> HistoryEntry:
    url = reverse("admin:consent_consentevent_change", args=[event.pk])
    return HistoryEntry(event.recorded_at, change, who, event.reason, url, event.get_kind_display())


def _of_job(job: BulkJob) -> HistoryEntry:
    who = str(job.author)
    if job.approver:
        who = gettext("%(author)s, approved by %(approver)s") % {"author": job.author, "approver": job.approver}
    change = str(TrainingDefault(job.wanted).label)
    if job.status != JobStatus.DONE:
        change = gettext("%(default)s (%(status)s)") % {"default": change, "status": job.get_status_display()}
    url = reverse("admin:consent_bulkjob_change", args=[job.pk])
    at, what = job.finished_at or job.created_at, gettext("Default of the plan changed")
    return HistoryEntry(at, change, who, job.reason, url, what)
