"""Shared by all classes of the operators' site: only operators have access, nothing is deleted, no model is saved."""

import dataclasses
import datetime as dt
import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.admin.options import ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.functional import Promise, cached_property
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts import time_zones
from accounts.access import Actor
from accounts.fields import parse_id
from accounts.models import User
from accounts.reauthentication import session_actor

from ..errors import ServiceError
from ..presentation import asking
from .lists import OperatorList

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    BasePaginator = Paginator[Any]
else:
    ModelAdmin, BasePaginator = admin.ModelAdmin, Paginator


def actor_of(request: HttpRequest) -> Actor:
    return session_actor(request)


class CappedPaginator(BasePaginator):
    """Counts at most LIMIT rows, so that a list of millions opens as fast as a short one; filters reach the rest."""

    LIMIT = 10_000

    @cached_property
    def count(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.LIMIT].count()


class OperatorAdmin(ModelAdmin):
    """Base of all model pages: for operators only. Nothing is deleted, and changes go through the services."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 25
    list_max_show_all = 0
    can_add = False
    can_change = False
    # The list's name where the navigation calls it otherwise than the model.
    list_title: str | Promise = ""
    # What an empty list says: how the first one comes.
    first: str | Promise = ""

    def _is_operator(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._is_operator(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_operator(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.can_add and self._is_operator(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.can_change and self._is_operator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OperatorList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if request.method == "GET" and any(value == "" and name != "q" for name, value in request.GET.items()):
            # Fields of the filters that were left at "All": the address names only what is in force.
            given = {name: kept for name, values in request.GET.lists() if (kept := [each for each in values if each])}
            return redirect(f"{request.path}?{urlencode(given, doseq=True)}".removesuffix("?"))
        title = {"title": self.list_title or capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def get_urls(self) -> list[Any]:
        return [url for url in super().get_urls() if not str(getattr(url, "name", "")).endswith("_delete")]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    # Without this an invalid id in the selection would raise an exception, a 500.
    def response_action(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        if any(parse_id(ident) is None for ident in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            return HttpResponse(
                _("The selection contains an id that is not valid."), status=400, content_type="text/plain"
            )
        return super().response_action(request, queryset, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        self._refuse()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._refuse()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TypeError(f"the operators' site saves no {self.model.__name__}: its changes go through the services")

    # Entries of Django's own log hold ids only, so that no personal data remains there when a person is erased.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, obj, ADDITION, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return self._log(request, obj, CHANGE, message)

    def _log(self, request: HttpRequest, obj: Model, flag: int, message: Any) -> LogEntry:
        return LogEntry.objects.create(
            user=cast(User, request.user),
            content_type=ContentType.objects.get_for_model(obj, for_concrete_model=False),
            object_id=str(obj.pk),
            object_repr=str(obj.pk),
            action_flag=flag,
            change_message=json.dumps(message) if isinstance(message, list) else message,
        )

    def get_or_404(self, rows: Any, object_id: str) -> Any:
        """The row with this id; raises Http404 if the id is malformed or unknown."""
        row = rows.filter(pk=pk).first() if (pk := parse_id(object_id)) else None
        if row is None:
            raise Http404
        return row

    def screen(
        self, request: HttpRequest, template: str, context: dict[str, Any], *, title: str | Promise, status: int = 200
    ) -> HttpResponse:
        """Renders a template inside the frame of the admin site."""
        request.current_app = self.admin_site.name
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "title": title, "subtitle": None}
        frame["list_title"] = self.list_title
        return TemplateResponse(request, template, {**frame, **context}, status=status)

    def ask(self, request: HttpRequest, asked: asking.Asked, original: Any, back: str) -> HttpResponse:
        """The page that says what an act will do; `original` is what it is about, and `back` the page of that."""
        context = {**asking.context(request, asked, back), "original": original}
        title = asked.told.title if asked.told else ""
        return self.screen(request, "admin/ask.html", context, title=title, status=asked.status)


class PageAdmin(OperatorAdmin):
    """Base of models with a page to read: what can be done there is posted to addresses of its own."""

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page. Raises Http404."""
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        return self.show(request, object_id)


def require_post(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Decorator of a view that changes something: 405 for other methods than POST, 403 without permission to change."""

    @functools.wraps(view)
    def wrapped(self: OperatorAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        if not self.has_change_permission(request):
            raise PermissionDenied
        return view(self, request, *args, **kwargs)

    return wrapped


@dataclasses.dataclass(frozen=True)
class HistoryEntry:
    """What was done to something, as its page shows it; `what`, where several kinds of acts are told apart."""

    at: dt.datetime
    change: str
    who: str
    reason: str
    url: str
    what: str = ""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """The outcome of a submitted form: 200 and the service's result, or the status of an error that the form shows."""

    status: int
    result: Any = None

    @property
    def done(self) -> bool:
        return self.status == 200


def run_service(form: forms.Form, change: Callable[[dict[str, Any]], Any]) -> Attempt:
    """Run a service on the form's cleaned values; a ServiceError becomes an error of the form."""
    if not form.is_valid():
        return Attempt(400)
    try:
        return Attempt(200, change(form.cleaned_data))
    except ServiceError as error:
        form.add_error(error.field if error.field in form.fields else None, str(error.detail))
        return Attempt(error.http_status)


def instant(field: str, words: Any, *, seconds: bool = False) -> Callable[[Any, Any], str]:
    """A column that shows an InstantField on one line, to the minute, or to the second where operators compare."""

    @admin.display(description=words, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        value = getattr(row, field)
        if value is None:
            return "–"
        words = time_zones.moment(value, seconds=seconds)
        return format_html('<time class="nowrap" datetime="{}">{}</time>', value.isoformat(), words)

    return column


def yes_no(field: str, words: Any) -> Callable[[Any, Any], str]:
    """A list column that shows a boolean as a word: Django's red cross would make a right state look like an error."""

    @admin.display(description=words, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return _("Yes") if getattr(row, field) else _("No")

    return column


def moment(value: Any) -> str:
    """Day, time to the second, and zone; a dash for None."""
    return time_zones.moment(value, seconds=True) or "–"


def state_words(allowed: bool) -> str:
    return _("Used") if allowed else _("Not used")
