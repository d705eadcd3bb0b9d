"""Bulk jobs: preview, submit by the preview's digest, watch, pause, cancel, undo. A worker runs them, not a request."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import NotFound, Permission, require
from accounts.fields import parse_id
from config.problems import body_pointer, error_item, invalid

from ..jobs import actions, approval, reports
from ..jobs.cases import CHANGE, SAME
from ..jobs.list_errors import BadList
from ..jobs.rebind_files import Rebinding
from ..jobs.selection import Selection
from ..jobs.states import SHOWS_PREVIEW
from ..models import BulkJob, JobKind, JobStatus, Source
from ..surfaces import SURFACES
from .base import ApiView
from .bulk_serializers import (
    ApproveInput,
    BulkJobInput,
    BulkJobOutput,
    BulkJobQuery,
    BulkJobRowOutput,
    BulkJobRowQuery,
    NothingInput,
    SampleOutput,
)
from .idempotency import idempotent
from .paging import CursorPagination
from .serializers import ReasonInput

_PREVIEWED = ("surface", "choice", "reason", "select")


class JobView(ApiView):
    def jobs(self) -> QuerySet[BulkJob]:
        require(self.actor, Permission.CONSENT_VIEW, None)
        return BulkJob.objects.select_related("author", "submitter", "approver")

    def job(self, ident: str) -> BulkJob:
        """The job with this id; raises Forbidden, NotFound."""
        pk = parse_id(ident)
        job = None if pk is None else self.jobs().filter(pk=pk).first()
        if job is None:
            raise NotFound("job")
        return job

    def serialize_job(self, job: BulkJob) -> dict[str, Any]:
        """The job as the API shows it; one that has not started also has its preview's summary and a sample of rows."""
        data: dict[str, Any] = dict(BulkJobOutput(job).data)
        if job.status in SHOWS_PREVIEW:
            data |= {"summary": job.summary, "sample": SampleOutput(reports.sample(job), many=True).data}
        return data

    def accepted(self, job: BulkJob) -> Response:
        """202 with the job, and its address in `Location`."""
        data = self.serialize_job(job)
        path = self.request.path.partition("/bulk-jobs/")[0]
        location = self.request.build_absolute_uri(f"{path}/bulk-jobs/{job.pk}/")
        return Response(data, status=202, headers={"Location": location})


class BulkJobs(JobView):
    query_class = BulkJobQuery
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        found, following = self.paginator.page(request, self.jobs().filter(**self.params))
        return Response({"results": BulkJobOutput(found, many=True).data, "next": following})

    def may_post(self) -> None:
        approval.answering_person(self.actor)

    @idempotent(may_post)
    def post(self, request: Request) -> Response:
        values = self.body(BulkJobInput)
        if values["dry_run"]:
            return self.accepted(self._previewed(values))
        return self.accepted(self._submitted(values))

    def _previewed(self, values: dict[str, Any]) -> BulkJob:
        # Fields that make no sense in this kind of preview, and those that it needs.
        beside: list[str] = [name for name in ("digest", "accept_drift") if name in values]
        if "rebind" in values:
            beside += [name for name in ("surface", "choice", "select") if name in values]
        needed = () if "rebind" in values else ("surface", "choice", "select")
        missing = [name for name in needed if name not in values]
        faults = [error_item(body_pointer(name), _("This can't be combined with the other fields.")) for name in beside]
        faults += [error_item(body_pointer(name), _("This field is required.")) for name in missing]
        if faults:
            raise invalid(faults)
        if "rebind" in values:
            return self._rebinding(values)
        return actions.preview_choice(
            surface=SURFACES[values["surface"]],
            choice=values["choice"],
            reason=values.get("reason", ""),
            selection=Selection.from_json(values["select"]),
            actor=self.actor,
            source=Source.API,
        )

    def _rebinding(self, values: dict[str, Any]) -> BulkJob:
        wishes = [
            Rebinding(n, each["external_id"], each["organization"], each.get("member") or "")
            for n, each in enumerate(values["rebind"], start=1)
        ]
        reason = values.get("reason", "")
        try:
            return actions.preview_rebind(wishes=wishes, reason=reason, actor=self.actor, source=Source.API)
        except BadList as error:
            raise invalid([error_item(body_pointer("rebind"), text) for text in error.problems]) from None

    def _submitted(self, values: dict[str, Any]) -> BulkJob:
        """Submit the preview that the digest names; other fields, where given, must equal the preview's."""
        if not values.get("digest"):
            detail = _("Give the digest of the dry run, so that exactly what was previewed is run.")
            raise invalid([error_item(body_pointer("digest"), detail)])
        kept = BulkJob.objects.filter(digest=values["digest"], status=JobStatus.PREVIEWED).exclude(kind=JobKind.IMPORT)
        job = kept.order_by("-pk").first()
        if job is None:
            raise invalid(
                [error_item(body_pointer("digest"), _("There is no preview with this digest that can be run."))]
            )
        previewed = BulkJobOutput(job).data
        if "select" in values:
            # Compared in one normal form: a single text counts as a list of one.
            values["select"] = Selection.from_json(values["select"]).to_json()
            previewed["select"] = Selection.from_json(job.selection).to_json() if job.selection else {}
        differing = [name for name in _PREVIEWED if name in values and values[name] != previewed[name]]
        if differing:
            raise invalid(
                [error_item(body_pointer(name), _("The preview was made for something else.")) for name in differing]
            )
        drift = values.get("accept_drift", False)
        return actions.submit(job=job, actor=self.actor, digest=job.digest, accept_drift=drift)


class BulkJobDetail(JobView):
    def get(self, request: Request, job: str) -> Response:
        return Response(self.serialize_job(self.job(job)))


class BulkJobRows(JobView):
    """The job's rows in order; with `refused=true` only the refused ones, with the reason."""

    query_class = BulkJobRowQuery
    paginator = CursorPagination("pk")

    def get(self, request: Request, job: str) -> Response:
        of, refused = self.job(job), bool(self.params.get("refused"))
        kept: dict[str, Any] = {JobKind.IMPORT: of.import_rows, JobKind.REBIND: of.rebind_rows}
        rows = kept.get(of.kind, of.rows).all()
        if refused:
            rows = rows.exclude(**{"outcome__in": ("", CHANGE, SAME)} if of.kind in kept else {"refusal": ""})
        found, following = self.paginator.page(request, rows)
        # `listed_rows` counts from a row's number, where the keyset cursor is the row's id.
        before = found[0].number - 1 if found else 0
        listed = reports.listed_rows(of, refused=refused, after=before, limit=len(found))
        return Response({"results": BulkJobRowOutput(list(listed), many=True).data, "next": following})


class BulkJobVerb(JobView):
    """Base of the actions without input; `act(job=, actor=)` returns the job."""

    act: Callable[..., BulkJob]

    def post(self, request: Request, job: str) -> Response:
        of = self.job(job)
        self.body(NothingInput)
        return Response(BulkJobOutput(self.act(job=of, actor=self.actor)).data)


class BulkJobPause(BulkJobVerb):
    act = staticmethod(actions.pause)


class BulkJobResume(BulkJobVerb):
    act = staticmethod(actions.resume)


class BulkJobCancel(BulkJobVerb):
    act = staticmethod(actions.cancel)


class BulkJobApproval(JobView):
    """Approval by a second operator; a `digest` makes sure that it is for the preview they looked at."""

    def post(self, request: Request, job: str) -> Response:
        of = self.job(job)
        digest = self.body(ApproveInput).get("digest", "")
        return Response(BulkJobOutput(actions.approve(job=of, actor=self.actor, digest=digest)).data)


class BulkJobUndo(JobView):
    """Previews the undo as a job of its own, which is then submitted by its digest like any other."""

    def may_post(self, job: str) -> None:
        self.job(job)
        approval.answering_person(self.actor)

    @idempotent(may_post)
    def post(self, request: Request, job: str) -> Response:
        of = self.job(job)
        reason = self.body(ReasonInput).get("reason", "")
        return self.accepted(actions.preview_undo(job=of, actor=self.actor, source=Source.API, reason=reason))
