"""Filters of the ledger that take what somebody types: days, an organization, who acted."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..presentation import finding
from .base import actor_of

_MOST = 50  # of those that a name may mean; more are no filter


class TypedFilter(admin.ListFilter):
    """A filter with a field to write in. `error` stands beside it; then no row is shown."""

    template = "admin/includes/filter_typed.html"
    parameter_name = ""
    input_type = "text"
    hint: Any = ""
    error = ""

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        given = params.pop(self.parameter_name, None)
        self.request, self.value = request, (given[-1] if given else "").strip()
        self.words = self.value
        if self.value:
            self.used_parameters[self.parameter_name] = self.value

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name]

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        without = changelist.get_query_string(remove=[self.parameter_name])
        yield {"selected": not self.value, "query_string": without, "display": _("All")}
        if self.value:
            yield {"selected": True, "query_string": changelist.get_query_string(), "display": self.words}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return self.rows(queryset) if self.value else queryset

    def rows(self, queryset: Any) -> Any:
        raise NotImplementedError

    def refused(self, queryset: Any, error: str) -> Any:
        self.error = error
        return queryset.none()


class DayFilter(TypedFilter):
    """A whole day in the reader's time zone."""

    input_type = "date"

    def rows(self, queryset: Any) -> Any:
        try:
            day = parse_date(self.value)
        except ValueError:
            day = None
        if day is None or not dt.date.min < day < dt.date.max:
            return self.refused(queryset, gettext("“%(value)s” is not a day.") % {"value": self.value})
        self.words = formats.date_format(day)
        return self.from_day(queryset, day)

    def from_day(self, queryset: Any, day: dt.date) -> Any:
        raise NotImplementedError


class SinceFilter(DayFilter):
    title, parameter_name = _("from"), "since"

    def from_day(self, queryset: Any, day: dt.date) -> Any:
        return queryset.since(_midnight(day))


class UntilFilter(DayFilter):
    title, parameter_name = _("until"), "until"

    def from_day(self, queryset: Any, day: dt.date) -> Any:
        return queryset.before(_midnight(day + dt.timedelta(days=1)))


def _midnight(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time()))


class OrganizationFilter(TypedFilter):
    title, parameter_name = _("organization"), "of"
    hint = _("Words of its name, id or external id")

    def rows(self, queryset: Any) -> Any:
        found = finding.organizations_for(self.value, actor_of(self.request), _MOST + 1)
        if not found:
            text = gettext("No organization is called “%(value)s”, or has it as id.")
            return self.refused(queryset, text % {"value": self.value})
        if len(found) > _MOST:
            return self.refused(queryset, _too_many(self.value))
        self.words = found[0].name if len(found) == 1 else _number(self.value, len(found))
        return queryset.filter(organization__in=[each.pk for each in found])


class WhoFilter(TypedFilter):
    title, parameter_name = _("who"), "who"
    hint = _("E-mail address or its start, operator's name, key's name, or an id")

    def rows(self, queryset: Any) -> Any:
        found = finding.actors_for(self.value, actor_of(self.request), _MOST + 1)
        if not found:
            text = gettext("Nobody has “%(value)s” as address or id, and no operator or key is called so.")
            return self.refused(queryset, text % {"value": self.value})
        if len(found) > _MOST:
            return self.refused(queryset, _too_many(self.value))
        self.words = str(found[0]) if len(found) == 1 else _number(self.value, len(found))
        return queryset.filter(Q(actor_id__in=[str(each.pk) for each in found]))


def _number(value: str, number: int) -> str:
    words = ngettext("“%(value)s” (%(number)s match)", "“%(value)s” (%(number)s match)", number)
    return words % {"value": value, "number": number}


def _too_many(value: str) -> str:
    return gettext("More than %(most)s match “%(value)s”: write more of it.") % {"most": _MOST, "value": value}
