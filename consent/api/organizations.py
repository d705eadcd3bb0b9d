"""Organizations and their subscriptions: list, create, change, close and reopen, subscribe."""

from typing import Any

from django.db import transaction
from django.db.models import Prefetch
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import Permission, get_organization, require
from accounts.catalogue import Product
from accounts.models import Organization, Plan, Subscription
from config.problems import body_pointer, error_item, invalid

from ..errors import Invalid
from ..models import Source
from ..services import layers
from ..services.organizations import (
    OrganizationDraft,
    close_organization,
    create_organization,
    reopen_organization,
    update_organization,
)
from ..services.plans import end_subscription, get_plan, subscribe
from . import filters
from .base import ApiView
from .idempotency import idempotent
from .paging import CursorPagination
from .serializers import (
    OrganizationChange,
    OrganizationInput,
    OrganizationOutput,
    ReasonInput,
    SubscriptionInput,
)

_LIVE = Prefetch("subscriptions", Subscription.objects.filter(ended_at=None), to_attr="live")


def shown(organization: Organization) -> Any:
    """The organization as it is now, subscriptions included."""
    return OrganizationOutput(Organization.objects.prefetch_related(_LIVE).get(pk=organization.pk)).data


def known_product(key: str) -> Product:
    """The product of a path; raises Http404."""
    if key not in Product.values:
        raise Http404
    return Product(key)


class Organizations(ApiView):
    query_class = filters.OrganizationQuery
    paginator = CursorPagination()

    def get(self, request: Request) -> Response:
        rows = filters.organizations(self.actor, Permission.ORGANIZATION_VIEW, self.params)
        rows = filters.changed_since(rows, self.params)
        found, following = self.paginator.page(request, rows.prefetch_related(_LIVE))
        return Response({"results": OrganizationOutput(found, many=True).data, "next": following})

    def may_post(self) -> None:
        require(self.actor, Permission.ORGANIZATION_CREATE, None)

    @idempotent(may_post)
    def post(self, request: Request) -> Response:
        values = self.body(OrganizationInput)
        owner = values.get("owner")
        draft = OrganizationDraft(
            name=values["name"],
            kind=values["kind"],
            external_id=values.get("external_id"),
            country=values.get("country") or "",
            owner=(owner["email"], owner["name"]) if owner else None,
            subscriptions=_plans(values.get("subscriptions", {})),
        )
        made = create_organization(draft=draft, actor=self.actor, source=Source.API)
        return self.created(shown(made), made.pk)


def _plans(wanted: dict[str, str | None]) -> list[Plan]:
    """The plans to start with, from product → plan key or None; raises Problem naming every unknown product or plan."""
    plans, faults = [], []
    for product, key in wanted.items():
        pointer = body_pointer("subscriptions", product)
        if product not in Product.values:
            faults.append(error_item(pointer, _("There is no such product.")))
        elif key is not None:
            try:
                plans.append(get_plan(key, product))
            except Invalid as error:
                faults.append(error_item(pointer, error))
    if faults:
        raise invalid(faults)
    return plans


class OrganizationDetail(ApiView):
    def get(self, _request: Request, organization: str) -> Response:
        return Response(shown(get_organization(self.actor, organization, Permission.ORGANIZATION_VIEW)))

    def patch(self, _request: Request, organization: str) -> Response:
        found = get_organization(self.actor, organization, Permission.ORGANIZATION_EDIT)
        changes = self.body(OrganizationChange)
        closes = changes.keys() - {"reason"} == {"status"} and changes["status"] == Organization.Status.CLOSED
        status, reason = changes.pop("status", None), changes.pop("reason", "")
        # null removes the country, like an empty text.
        if "country" in changes:
            changes["country"] = changes["country"] or ""
        who: dict[str, Any] = {"organization": found, "actor": self.actor, "source": Source.API, "reason": reason}
        with transaction.atomic():  # all changes or none
            if not closes:  # closing alone only tightens, so it never fails on an outdated If-Match
                self.require_match(lambda: shown(layers.lock_organization(found)))
            if changes:
                update_organization(**who, **changes)
            if status == Organization.Status.CLOSED:
                close_organization(**who)
            elif status == Organization.Status.ACTIVE:
                reopen_organization(**who)
        return Response(shown(found))


class SubscriptionDetail(ApiView):
    delete_class = ReasonInput

    def put(self, _request: Request, organization: str, product: str) -> Response:
        found = get_organization(self.actor, organization, Permission.SUBSCRIPTIONS_MANAGE)
        key = known_product(product)
        values = self.body(SubscriptionInput)
        subscribe(
            organization=found,
            plan=get_plan(values["plan"], key),
            actor=self.actor,
            source=Source.API,
            reason=values.get("reason", ""),
        )
        return Response(shown(found))

    def delete(self, _request: Request, organization: str, product: str) -> Response:
        found = get_organization(self.actor, organization, Permission.SUBSCRIPTIONS_MANAGE)
        key = known_product(product)
        reason = self.body(self.delete_class).get("reason", "")
        end_subscription(organization=found, product=key, actor=self.actor, source=Source.API, reason=reason)
        return Response(status=204)
