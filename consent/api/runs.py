"""Training runs: register, read, retire; what has to be removed from them, and its acknowledgement."""

from typing import Any

from django.http import HttpResponse
from django.utils.cache import get_conditional_response
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, require
from config import media_types

from .. import ledger
from ..models import RemovalBatch, Source, TrainingRun
from ..services import removal_entries, removals, runs
from . import etags
from .base import ApiView
from .body import JSONParser
from .bulk_serializers import NothingInput
from .idempotency import idempotent
from .paging import CursorPagination, EntryPagination
from .run_serializers import (
    AcknowledgeInput,
    EntryOutput,
    EntryQuery,
    RemovalBatchOutput,
    RetireInput,
    RunInput,
    RunOutput,
    RunWithFiles,
)

READ, WRITE = Permission.PIPELINE_READ, Permission.RUNS_MANAGE


class ReportParser(JSONParser):
    """Reports name each file of a dataset, of which there may be many."""

    limit = 16_000_000


class RunView(ApiView):
    parser_classes = [ReportParser]

    def run(self, ident: str, permission: Permission = READ) -> TrainingRun:
        return runs.get_run(self.actor, ident, permission)

    def batch(self, run: TrainingRun, ident: str) -> RemovalBatch:
        return removals.get_batch(run, ident)

    def shown(self, batch: RemovalBatch) -> Any:
        return RemovalBatchOutput(batch, context={"now": ledger.clock()}).data


class TrainingRuns(RunView):
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        require(self.actor, READ, None)
        rows = TrainingRun.objects.visible_to(self.actor).select_related("retirement")
        found, following = self.paginator.page(request, rows)
        return Response({"results": RunOutput(found, many=True).data, "next": following})

    def may_post(self) -> None:
        require(self.actor, WRITE, None)

    @idempotent(may_post)
    def post(self, request: Request) -> Response:
        """201 with the new run; 200 with the one that has this external id and the same data already."""
        registered = runs.register(actor=self.actor, source=Source.API, **self.body(RunInput))
        data = RunWithFiles(registered.run).data
        return self.created(data, registered.run.pk) if registered.new else Response(data)


class TrainingRunDetail(RunView):
    def get(self, request: Request, run: str) -> Response:
        return Response(RunWithFiles(self.run(run)).data)


class TrainingRunManifest(RunView):
    def get(self, request: Request, run: str) -> HttpResponse:
        """The envelope byte for byte, so that its digest is the one that the run names."""
        content = self.run(run).manifest.encode()
        response = HttpResponse(content, content_type=media_types.JSON)
        response.headers["ETag"] = etags.tag(content)
        return get_conditional_response(request._request, etag=response["ETag"], response=response) or response


class TrainingRunRetirement(RunView):
    def post(self, request: Request, run: str) -> Response:
        found = self.run(run, WRITE)
        values = self.body(RetireInput)
        return Response(RunOutput(runs.retire(run=found, actor=self.actor, source=Source.API, **values)).data)


class Removals(RunView):
    query_class = EntryQuery
    paginator = EntryPagination()

    def get(self, request: Request, run: str) -> Response:
        found = self.run(run)
        batch = self.batch(found, self.params["batch"]) if "batch" in self.params else None
        within = removals.range_of(found, batch)
        within = within._replace(after=max(within.after, self.paginator.position(request)))
        entries, after = removal_entries.page_of(within, self.paginator.limit(request))
        output = EntryOutput([entry.as_json() for entry in entries], many=True)
        return Response({"results": output.data, "next": self.paginator.url_after(request, after)})


class RemovalBatches(RunView):
    paginator = CursorPagination("-pk")

    def get(self, request: Request, run: str) -> Response:
        rows = self.run(run).batches.select_related("run__retirement", "acknowledgement")
        found, following = self.paginator.page(request, rows)
        return Response({"results": [self.shown(batch) for batch in found], "next": following})

    def post(self, request: Request, run: str) -> Response:
        found = self.run(run, WRITE)
        self.body(NothingInput)
        batch = removals.issue(run=found, actor=self.actor, source=Source.API)
        return Response({"batch": batch and self.shown(batch)})


class RemovalAcknowledgements(RunView):
    def post(self, request: Request, run: str, batch: str) -> Response:
        found = self.batch(self.run(run, WRITE), batch)
        removals.acknowledge(batch=found, actor=self.actor, source=Source.API, **self.body(AcknowledgeInput))
        return Response(self.shown(self.batch(found.run, batch)))
