"""Requests that a second operator has to confirm (R19): the list, each request's page, and the form to make one."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils import formats
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.fields import AddressFormField, parse_id
from accounts.models import User

from ..errors import ConfirmationRequired, Invalid, ServiceError
from ..models import OperatorRequest, RequestKind
from ..services import operator_requests as service
from .base import PageAdmin, actor_of, instant, require_post, run_service
from .forms import OperatorForm, reason_field
from .lists import two_lines
from .users import password_link

# A shorter cooling-off is asked for on the page of its product.
_OF_PEOPLE = [(kind.value, kind.label) for kind in RequestKind if kind != RequestKind.COOLING_OFF]


class AskForm(OperatorForm):
    kind = forms.ChoiceField(label=_("What"), choices=_OF_PEOPLE, widget=forms.RadioSelect)
    person = AddressFormField(
        label=_("Whom it is about"), help_text=_("The address that this person signs in with, or a new operator's.")
    )
    name = forms.CharField(label=_("Name (of a new person)"), max_length=200, required=False)
    new_address = AddressFormField(label=_("New address (if it is to change)"), required=False)
    reason = reason_field(required=True, help_text=_("What the other operator needs to know to decide."))


@admin.register(OperatorRequest)
class OperatorRequestAdmin(PageAdmin):
    can_add = can_change = True
    list_display = ("what", "status_words", "by", "asked")
    list_select_related = ("subject", "asked_by")
    list_filter = ("status", "kind")
    ordering = ("-id",)
    sortable_by = ()

    asked = instant("asked_at", _("asked"))

    @admin.display(description=_("what"))
    def what(self, request: OperatorRequest) -> str:
        return two_lines(request.get_kind_display(), request.about)

    @admin.display(description=_("asked by"))
    def by(self, request: OperatorRequest) -> str:
        return two_lines(request.asked_by, request.reason)

    @admin.display(description=_("status"))
    def status_words(self, request: OperatorRequest) -> str:
        return status_words(request)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        waiting = service.waiting().count()
        words = gettext("Requests: %(n)s waiting") % {"n": formats.number_format(waiting)}
        title = {"title": words} if waiting else {}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def request_of(self, object_id: str) -> OperatorRequest:
        related = ("subject", "asked_by", "confirmed_by", "decided_by")
        found: OperatorRequest = self.get_or_404(OperatorRequest.objects.select_related(*related), object_id)
        return found

    # --- Pages ---

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form, status = AskForm(request.POST or None, initial=_initial(request)), 200
        if request.method == "POST":
            form = AskForm(request.POST)
            made = run_service(form, lambda data: _ask(request, data))
            if made.done:
                messages.success(request, gettext("Nothing is changed yet: another operator has to confirm it."))
                return redirect("admin:consent_operatorrequest_change", made.result.pk)
            status = made.status
        context = {"form": form, "submit": gettext("Ask another operator")}
        return self.screen(request, "admin/form.html", context, title=gettext("Ask another operator"), status=status)

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._page(request, self.request_of(object_id))

    def _page(self, request: HttpRequest, asked: OperatorRequest, refused: str = "", status: int = 200) -> HttpResponse:
        context = {
            "asked": asked,
            "original": asked,
            "refused": refused,
            "about": asked.about,
            "status_words": status_words(asked),
            "possible": service.possible(asked, actor_of(request)),
            "why_not": service.why_not(asked, actor_of(request)),
        }
        return self.screen(request, "admin/requests/page.html", context, title=asked.get_kind_display(), status=status)

    @require_post
    def verb_view(self, request: HttpRequest, object_id: str, verb: str) -> HttpResponse:
        asked = self.request_of(object_id)
        if verb not in ("confirm", "decline"):
            raise Http404
        try:
            return self._done(request, asked, verb)
        except ConfirmationRequired:
            raise  # middleware asks for the password or second factor, then sends this form again
        except ServiceError as error:
            return self._page(request, self.request_of(object_id), str(error), error.http_status)
        except Forbidden as error:
            return self._page(request, self.request_of(object_id), error.detail or gettext("You may not do this."), 403)

    def _done(self, request: HttpRequest, asked: OperatorRequest, verb: str) -> HttpResponse:
        actor = actor_of(request)
        if verb == "confirm":
            service.confirm(request=asked, actor=actor, password_link=password_link(request))
            messages.success(request, gettext("Confirmed. The change is made."))
        else:
            service.decline(request=asked, actor=actor)
            messages.success(request, gettext("The request is closed. Nothing has changed."))
        return redirect("admin:consent_operatorrequest_change", asked.pk)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.verb_view)
        name = "consent_operatorrequest_verb"
        return [path("<str:object_id>/verbs/<str:verb>/", view, name=name), *super().get_urls()]


def status_words(asked: OperatorRequest) -> str:
    return gettext("Ended unanswered") if service.has_ended(asked) else str(asked.get_status_display())


def _initial(request: HttpRequest) -> dict[str, str]:
    initial = {"kind": request.GET.get("kind", "")}
    if pk := parse_id(request.GET.get("person", "")):
        initial["person"] = User.objects.filter(pk=pk).values_list("email", flat=True).first() or ""
    return initial


def _ask(request: HttpRequest, data: dict[str, Any]) -> OperatorRequest:
    """Makes the request; raises ServiceError with the name of this form's field."""
    kind, address = data["kind"], data["person"].strip().lower()
    subject = User.objects.filter(email=address).first()
    if subject is None and kind != RequestKind.OPERATOR:
        raise Invalid("unknown_person", gettext("Nobody signs in with this address."), "person")
    email = data["new_address"] if kind == RequestKind.ADDRESS else address
    try:
        return service.ask(
            kind=kind, subject=subject, email=email, name=data["name"], actor=actor_of(request), reason=data["reason"]
        )
    except ServiceError as error:
        if error.field == "email":
            error.field = "new_address" if kind == RequestKind.ADDRESS else "person"
        raise
