"""The ledger, in position order."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, get_organization, require
from accounts.models import Member

from .. import ledger
from ..models import ConsentEvent
from ..presentation import actors
from ..witness import quarantine
from .base import ApiView
from .event_serializers import EventOutput, EventQuery
from .paging import PositionPagination


class EventsView(ApiView):
    query_class = EventQuery
    paginator = PositionPagination()

    def listed(self, request: Request, rows: Any) -> Response:
        """A page of these events. Assigns positions first, so that all that was committed before is listed."""
        quarantine.require_whole()
        ledger.sequence()
        events, following = self.paginator.page(request, self._filtered(rows.visible_to(self.actor).placed()))
        output = EventOutput(
            events,
            many=True,
            context={"labels": actors.labels(events, self.actor), "for_operator": self.actor.is_operator},
        )
        return Response({"results": output.data, "next": following})

    def _filtered(self, rows: Any) -> Any:
        params = dict(self.params)
        if "since" in params:
            rows = rows.filter(recorded_at__gte=params.pop("since"))
        if "until" in params:
            rows = rows.filter(recorded_at__lt=params.pop("until"))
        if "member" in params:
            rows = rows.filter(member__in=Member.objects.identified_by(params.pop("member")).values("pk"))
        if "actor" in params:
            rows = rows.filter(actor_id=params.pop("actor"))
            if not self.actor.is_operator:
                # Customers are not told which operator did something, so they can't search for one by id either.
                rows = rows.exclude(by_operator=True)
        if params.get("kind", "").endswith(".*"):
            rows = rows.filter(kind__startswith=params.pop("kind").removesuffix("*"))
        return rows.filter(**params)


class Events(EventsView):
    def get(self, request: Request) -> Response:
        require(self.actor, Permission.LEDGER_VIEW, None)
        return self.listed(request, ConsentEvent.objects.all())


class OrganizationEvents(EventsView):
    def get(self, request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.HISTORY_VIEW)
        # Filtered by the position's own organization column: its index holds each organization's events in order.
        return self.listed(request, ConsentEvent.objects.filter(placed__organization=found))
