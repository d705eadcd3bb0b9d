"""Filters of lists. Those of organizations are EXISTS conditions on the settings, so combined they stay one query."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.catalogue import Product
from accounts.models import Plan

from ..models import ABOUT, PrivacySetting, ReasonCode
from ..rules import Choice, Reason

_OF_MEMBERS = {Reason.MEMBER_OPTED_OUT, Reason.MEMBER_OPTED_IN, Reason.MEMBER_LEFT, Reason.DEFAULT}
_REASONS = [(value, label) for value, label in ReasonCode.choices if value not in _OF_MEMBERS]


def _has(**conditions: Any) -> Exists:
    return Exists(PrivacySetting.objects.filter(organization=OuterRef("pk"), member__isnull=True, **conditions))


def _known(chosen: admin.SimpleListFilter) -> str:
    """The filter's value if it is one of its choices, else a value that no row has."""
    value = chosen.value() or ""
    return value if value in {str(key) for key, _words in chosen.lookup_choices} else "none"


def presence_filter(column: str, words: Any, *, there: Any, absent: Any) -> type[admin.SimpleListFilter]:
    """A filter class: whether the column is null (`absent`) or not (`there`)."""

    class ThereFilter(admin.SimpleListFilter):
        title = words
        parameter_name = f"has_{column}"

        def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
            return [("yes", there), ("no", absent)]

        def queryset(self, request: HttpRequest, queryset: Any) -> Any:
            if not self.value():
                return queryset
            return queryset.filter(**{f"{column}__isnull": self.value() != "yes"})

    return ThereFilter


class AboutFilter(admin.SimpleListFilter):
    """Filters events by topic: access, or use of data."""

    title = _("topic")
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [("use", _("Data use")), ("access", _("Access"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(kind__in=sorted(ABOUT.get(_known(self), ()))) if self.value() else queryset


class PlanFilter(admin.SimpleListFilter):
    title = _("plan")
    parameter_name = "plan"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return list(Plan.objects.values_list("key", "name"))

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(_has(plan=_known(self), subscribed=True)) if self.value() else queryset


def effective_filter(wanted: Product) -> type[admin.SimpleListFilter]:
    """A filter class: whether an organization's data of the product is used for training."""

    class EffectiveFilter(admin.SimpleListFilter):
        title = wanted.label
        parameter_name = wanted.value

        def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
            return [(Choice.OPTED_IN.value, _("Used for training")), (Choice.OPTED_OUT.value, _("Not used"))]

        def queryset(self, request: HttpRequest, queryset: Any) -> Any:
            used = _has(product=wanted, allowed=True)
            match self.value():
                case Choice.OPTED_IN:
                    return queryset.filter(used)
                case Choice.OPTED_OUT:
                    return queryset.filter(~used)
            return queryset

    return EffectiveFilter


def reason_filter(wanted: Product) -> type[admin.SimpleListFilter]:
    """A filter class: the reason of an organization's setting for the product.

    An organization may have no settings row: then the reason is a missing subscription, or the closed account.
    """

    class ReasonFilter(admin.SimpleListFilter):
        title = format_lazy(_("{product}, why"), product=wanted.label)
        parameter_name = f"{wanted.value}_reason"

        def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
            return _REASONS

        def queryset(self, request: HttpRequest, queryset: Any) -> Any:
            if not self.value():
                return queryset
            reason = _known(self)
            found = Q(_has(product=wanted, reason_code=reason))
            without = {Reason.NO_SUBSCRIPTION: "active", Reason.ORGANIZATION_CLOSED: "closed"}
            if reason in without:
                found |= ~_has(product=wanted) & Q(status=without[Reason(reason)])
            return queryset.filter(found)

    return ReasonFilter
