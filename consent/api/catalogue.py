"""Products, plans, surfaces and kinds of events: lists that every signed-in person and every key may read."""

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.catalogue import Product
from accounts.models import Plan

from .. import wordings
from ..models import CoolingOff
from ..presentation import event_catalogue
from ..surfaces import SURFACES
from .base import ApiView
from .event_serializers import EventKindOutput
from .paging import WholeList
from .serializers import PlanOutput, ProductNow, ProductOutput, SurfaceOutput


class WholeView(ApiView):
    paginator: WholeList = WholeList()

    def listed(
        self,
        request: Request,
        items: list[Any],
        output: type[serializers.Serializer[Any]],
        context: dict[str, Any] | None = None,
    ) -> Response:
        found, following = self.paginator.whole(request, items)
        return Response({"results": output(found, many=True, context=context or {}).data, "next": following})


class Products(WholeView):
    def get(self, request: Request) -> Response:
        days = CoolingOff.objects.in_force()
        return self.listed(request, [ProductNow(each, days[each]) for each in Product], ProductOutput)


class Plans(WholeView):
    def get(self, request: Request) -> Response:
        return self.listed(request, list(Plan.objects.all()), PlanOutput)


class Surfaces(WholeView):
    def get(self, request: Request) -> Response:
        context = {"wordings": wordings.current()}
        return self.listed(request, list(SURFACES.values()), SurfaceOutput, context)


class EventKinds(WholeView):
    def get(self, request: Request) -> Response:
        return self.listed(request, event_catalogue.catalogue(), EventKindOutput)
