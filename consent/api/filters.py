"""Filters of lists of organizations: parameters of their own, and those of a bulk job's selection."""

import dataclasses
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers

from accounts import external_ids
from accounts.access import Actor, Permission, organizations_with
from accounts.catalogue import Product
from accounts.external_ids import LENGTH
from accounts.models import Organization, OrganizationKind, OrganizationStatus, Subscription
from config.problems import error_item, invalid

from ..errors import Invalid
from ..jobs.selection import Selection
from ..models import Choice, PrivacySetting, ReasonCode
from ..services.organizations import clean_country
from ..surfaces import ORGANIZATION_SURFACES
from .fields import Ident, Input, Instant, ListOf, OneOf, Sought, Text
from .paging import MAX_LIMIT
from .serializers import NAME, PLAN_KEY

_FEW = 500  # up to so many changed organizations are filtered by a list of their ids
_OF_SETTINGS = ("choice", "reason")
_SELECTED = {field.name for field in dataclasses.fields(Selection)} - {"plan", "everything"}


def _any_of(child: serializers.Field[Any, Any, Any, Any], help_text: str, most: int = 50) -> ListOf:
    return ListOf(child=child, required=False, allow_empty=False, max_length=most, help_text=f"Only those {help_text}.")


class OrganizationQuery(Input):
    """The query parameters. A list's parameter may be repeated: any of its values matches."""

    plan = _any_of(Text(longest=PLAN_KEY), "with one of these plans now")
    kind = _any_of(OneOf(choices=OrganizationKind.values), "of one of these kinds")
    country = _any_of(Sought(clean_country, longest=2), "in one of these countries")
    status = _any_of(OneOf(choices=OrganizationStatus.values), "whose account is in one of these states")
    choice = _any_of(OneOf(choices=Choice.values), "who chose so for the `product`")
    reason = _any_of(
        OneOf(choices=ReasonCode.values), "whose setting for the `product` is as it is for one of these reasons"
    )
    product = OneOf(
        choices=Product.values, required=False, help_text="The product that `choice` and `reason` are about."
    )
    organizations = _any_of(Ident(), "with one of these ids, or `external:` ids", MAX_LIMIT)
    external_id = Sought(external_ids.normalize, longest=LENGTH, help_text="The one that this id of yours means.")
    search = Sought(longest=NAME, help_text="Only those whose name begins so.")
    created_from = Instant(required=False, help_text="Only those made at this instant or later.")
    created_until = Instant(required=False, help_text="Only those made before this instant.")
    changed_since = Instant(
        required=False, help_text="Only those of which something that is listed changed at this instant or later."
    )


class SettingsQuery(OrganizationQuery):
    surface = OneOf(
        choices=[surface.key for surface in ORGANIZATION_SURFACES],
        required=False,
        help_text="Only this setting of each.",
    )


def organizations(actor: Actor, permission: Permission, params: dict[str, Any]) -> QuerySet[Organization]:
    """The organizations for which the actor has `permission` and that match all parameters but `changed_since`.

    Raises Forbidden, Problem (400).
    """
    rows = _within(Organization.objects.all(), actor, permission)
    if any(name in params for name in _OF_SETTINGS):
        if "product" not in params:
            raise invalid([error_item("?product", _("Give the product."))])
        # A filter by choice or reason reveals it, so it needs the permission to view it.
        rows = _within(rows, actor, Permission.CONSENT_VIEW)
    if "plan" in params:
        rows = rows.filter(pk__in=_live().filter(plan__in=params["plan"]).values("organization"))
    if "external_id" in params:
        rows = rows.with_external_id(params["external_id"])
    if "search" in params:
        rows = rows.named(params["search"])
    return _selected(rows, params)


def _within(rows: Any, actor: Actor, permission: Permission) -> Any:
    within = organizations_with(actor, permission)
    return rows if within is None else rows.filter(pk__in=within)


def _live() -> QuerySet[Subscription]:
    return Subscription.objects.filter(ended_at=None)


def _selected(rows: QuerySet[Organization], params: dict[str, Any]) -> QuerySet[Organization]:
    """Filter by the parts of a bulk job's selection, validated and applied by the selection's own code."""
    parts: dict[str, Any] = {"plan": params.get("plan"), **{name: params.get(name) for name in _SELECTED}}
    given = {name: _spelled(value) for name, value in parts.items() if value is not None}
    if not given:
        return rows
    try:
        selection = Selection.from_json(given)
    except Invalid as error:
        raise invalid([error_item("?" + error.field.removeprefix("select/"), error)]) from None
    # The plan is only validated here: `organizations` filters by live subscriptions, whichever the product.
    return dataclasses.replace(selection, plan=()).narrow(rows, params.get("product"))


def _spelled(value: Any) -> Any:
    return value if isinstance(value, list) else value.isoformat()


def changed_since(rows: QuerySet[Organization], params: dict[str, Any]) -> QuerySet[Organization]:
    """The rows whose entry in the list of organizations changed since the parameter, if it is given."""
    if (since := params.get("changed_since")) is None:
        return rows
    held = Subscription.objects.order_by()
    changed = Organization.objects.filter(changed_at__gte=since).order_by().values_list("pk")
    moved = [held.filter(**{f"{end}__gte": since}).values_list("organization") for end in ("started_at", "ended_at")]
    # Each of the three conditions has an index. If few organizations changed, their ids are the fastest filter; if many
    # did, a scan in list order soon finds a page of them.
    few = list(changed.union(*moved, all=True)[:_FEW])
    if len(few) < _FEW:
        return rows.filter(pk__in={pk for (pk,) in few})
    of_it = held.filter(Q(started_at__gte=since) | Q(ended_at__gte=since), organization=OuterRef("pk"))
    return rows.filter(Q(changed_at__gte=since) | Exists(of_it))


def settings_changed_since(rows: QuerySet[Organization], params: dict[str, Any]) -> QuerySet[Organization]:
    """The rows with a setting that changed since the parameter. Choices of a team's members do not count (R4)."""
    if (since := params.get("changed_since")) is None:
        return rows
    shown = Q(member=None) | Q(organization__kind=OrganizationKind.PERSONAL)
    moved = PrivacySetting.objects.filter(shown, changed_at__gte=since)
    return rows.filter(pk__in=moved.values("organization"))
