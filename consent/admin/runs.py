"""Training runs on the operators' site: the list, and a run's page: data, counts, what it rests on, removals."""

from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.fields import from_micros
from config import media_types

from .. import ledger
from ..errors import ServiceError
from ..models import RemovalBatch, RemovalState, Source, TrainingRun
from ..presentation import record_reasons
from ..presentation.record_reasons import Counted
from ..services import removals, run_manifests, runs
from .base import PageAdmin, actor_of, instant, require_post, run_service
from .filters import presence_filter
from .forms import OperatorForm, reason_field
from .lists import two_lines

_SHOWN = 50


class AcknowledgeForm(OperatorForm):
    removed = forms.IntegerField(
        label=_("Records removed"),
        min_value=0,
        max_value=2**63 - 1,
        help_text=_("0 if the data had none of them."),
    )
    evidence = forms.CharField(
        label=_("Evidence"), max_length=200, required=False, help_text=_("A digest of what is left, for example.")
    )
    note = forms.CharField(label=_("Note"), max_length=500, required=False)


class RetireForm(OperatorForm):
    reason = reason_field(help_text=_("Why its model is no longer in use; kept in the ledger."))


class Removal(NamedTuple):
    """A batch as the page shows it."""

    batch: RemovalBatch
    state: RemovalState
    what: list[Counted]


@admin.register(TrainingRun)
class TrainingRunAdmin(PageAdmin):
    can_change = True
    list_display = ("what", "registered", "used", "snapshot", "state", "removal")
    list_filter = (presence_filter("retirement", _("state"), there=_("Retired"), absent=_("In use")),)
    list_select_related = ("retirement",)
    ordering = ("-id",)
    sortable_by = ()
    first = _(
        "No training run is registered yet. The filter of records writes a report; whoever trains registers the run "
        "from it, by manage.py register_run or POST /api/v1/training-runs/. From then on it is said here what has to "
        "be removed from it."
    )

    registered = instant("registered_at", _("registered"))

    @admin.display(description=_("training run"))
    def what(self, run: TrainingRun) -> str:
        return two_lines(run.name, run.purpose)

    @admin.display(description=_("records used"))
    def used(self, run: TrainingRun) -> str:
        return intcomma(run.allowed)

    @admin.display(description=_("snapshot"))
    def snapshot(self, run: TrainingRun) -> str:
        return intcomma(run.snapshot_position)

    @admin.display(description=_("state"))
    def state(self, run: TrainingRun) -> str:
        return gettext("Retired") if run.is_retired else gettext("In use")

    @admin.display(description=_("removals"))
    def removal(self, run: Any) -> str:
        if run.late:
            return gettext("%(number)s overdue") % {"number": run.late}
        if run.waiting:
            return gettext("%(number)s open") % {"number": run.waiting}
        return "–" if run.is_retired else gettext("Nothing open")

    def get_queryset(self, request: HttpRequest) -> Any:
        late = Count("batches__open", filter=Q(batches__open__due_at__lte=ledger.clock()))
        return super().get_queryset(request).annotate(waiting=Count("batches__open"), late=late)

    def run(self, object_id: str) -> TrainingRun:
        related = ("retirement__retired_by", "registered_by")
        found: TrainingRun = self.get_or_404(TrainingRun.objects.select_related(*related), object_id)
        return found

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(request, self.run(object_id))

    def _page(
        self, request: HttpRequest, run: TrainingRun, form: forms.Form | None = None, status: int = 200
    ) -> HttpResponse:
        now = ledger.clock()
        batches = run.batches.select_related("acknowledgement__acknowledged_by").order_by("-number")[:_SHOWN]
        for batch in batches:
            batch.run = run  # with its retirement
        context = {
            "original": run,
            "files": run.files.all()[:_SHOWN],
            "file_count": run.files.count(),
            "snapshots": [(each["position"], from_micros(each["decided_at"])) for each in run.snapshots],
            "carried": run_manifests.checkpoint_of(run),
            "counts": record_reasons.of_records(run.counts),
            "removals": [
                Removal(batch, batch.state(now), record_reasons.of_entries(batch.counts)) for batch in batches
            ],
            "removal_count": run.batches.count(),
            "form": form or RetireForm(),
        }
        return self.screen(request, "admin/runs/page.html", context, title=run.name, status=status)

    def manifest_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The signed manifest as a file."""
        run = self.run(object_id)
        headers = {"Content-Disposition": f'attachment; filename="manifest-{run.pk}.json"'}
        return HttpResponse(run.manifest, content_type=media_types.JSON, headers=headers)

    @require_post
    def issue_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run = self.run(object_id)
        try:
            batch = removals.issue(run=run, actor=actor_of(request), source=Source.ADMIN)
        except ServiceError as error:
            messages.error(request, str(error))
            return self._page(request, run, status=error.http_status)
        if batch is None:
            messages.info(request, gettext("Nothing has to be removed since the last time."))
        else:
            messages.success(request, gettext("Removal %(number)s is issued.") % {"number": batch.number})
        return redirect("admin:consent_trainingrun_change", run.pk)

    @require_post
    def retire_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        run, form, actor = self.run(object_id), RetireForm(request.POST), actor_of(request)
        done = run_service(form, lambda data: runs.retire(run=run, actor=actor, source=Source.ADMIN, **data))
        if not done.done:
            return self._page(request, run, form, done.status)
        messages.success(request, gettext("The run is retired: nothing has to be removed from it any more."))
        return redirect("admin:consent_trainingrun_change", run.pk)

    def acknowledge_view(self, request: HttpRequest, object_id: str, batch: str) -> HttpResponse:
        """The form to acknowledge a removal in person, and what comes of it."""
        run, form, status = self.run(object_id), AcknowledgeForm(), 200
        found = removals.get_batch(run, batch)
        if request.method == "POST":
            form = AcknowledgeForm(request.POST)
            by: dict[str, Any] = {"actor": actor_of(request), "source": Source.ADMIN}
            done = run_service(form, lambda data: removals.acknowledge(batch=found, **data, **by))
            if done.done:
                messages.success(request, gettext("Removal %(number)s is acknowledged.") % {"number": found.number})
                return redirect("admin:consent_trainingrun_change", run.pk)
            status = done.status
        lead = gettext("By this you say that these entries were applied to the data, and to what was trained on it.")
        context = {"original": run, "form": form, "submit": gettext("Acknowledge"), "lead": lead}
        title = gettext("Removal %(number)s of %(run)s") % {"number": found.number, "run": run.name}
        return self.screen(request, "admin/form.html", context, title=title, status=status)

    def get_urls(self) -> list[Any]:
        wrap, name, one = self.admin_site.admin_view, "consent_trainingrun", "<str:object_id>"
        return [
            path(f"{one}/manifest/", wrap(self.manifest_view), name=f"{name}_manifest"),
            path(f"{one}/issue/", wrap(self.issue_view), name=f"{name}_issue"),
            path(f"{one}/retire/", wrap(self.retire_view), name=f"{name}_retire"),
            path(f"{one}/removals/<str:batch>/", wrap(self.acknowledge_view), name=f"{name}_acknowledge"),
            *super().get_urls(),
        ]
