"""People: name, operator and active status. Memberships are on the members' pages; nobody sees or sets a password here.

Whatever gives an operator authority or access is only requested here; it is done once another operator confirms (R19).
"""

from typing import TYPE_CHECKING, Any

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.fields import AddressFormField
from accounts.models import User
from accounts.password_links import password_path

from ..models import RequestKind
from ..services import operator_requests, people
from .base import OperatorAdmin, actor_of, instant, run_service, yes_no
from .forms import OperatorForm, reason_field
from .lists import two_lines

if TYPE_CHECKING:
    BaseUserForm = forms.ModelForm[User]
else:
    BaseUserForm = forms.ModelForm


class UserForm(BaseUserForm):
    class Meta:
        model = User
        fields: tuple[str, ...] = ("name", "is_staff", "is_active")

    own = False  # True where operators edit their own account

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.own:
            for field, problem in (
                ("is_staff", _("You can't remove yourself as an operator; ask another operator.")),
                ("is_active", _("You can't deactivate yourself; ask another operator.")),
            ):
                if data.get(field) is False:
                    self.add_error(field, problem)
        # Making or reactivating an operator needs a second operator: that is asked for on its own page.
        stored = User.objects.get(pk=self.instance.pk)
        made = data.get("is_staff") and not stored.is_staff
        again = data.get("is_staff") and data.get("is_active") and not stored.is_active
        if made or again:
            self.add_error("is_staff" if made else "is_active", people.NEEDS_SECOND)
        return data


class NewUserForm(OperatorForm):
    email = AddressFormField(label=_("E-mail"), help_text=_("A link to set a password is mailed there."))
    name = forms.CharField(label=_("Name"), max_length=200, required=False)


class ReasonForm(OperatorForm):
    reason = reason_field(required=True, help_text=_("What the other operator needs to know to decide."))


def password_link(request: HttpRequest) -> people.PasswordLink:
    return lambda user: request.build_absolute_uri(password_path(user))


@admin.register(User)
class UserAdmin(OperatorAdmin):
    can_add = can_change = True
    list_title = _("People")
    list_display = ("person", "operator", "active", "signed_in", "created")
    sortable_by = ("person", "operator", "active", "created")
    operator = yes_no("is_staff", _("operator"))
    active = yes_no("is_active", _("active"))
    created = instant("created_at", _("created"))
    signed_in = instant("last_login", _("last sign-in"))
    list_filter = ("is_staff", "is_active")
    ordering = ("-id",)
    search_fields = ("=email",)
    search_help_text = _("An e-mail address in full, or the start of a name.")
    readonly_fields = ("email", "address", "password_link", "second_factors", "created", "signed_in")
    fields = (
        "email", "address", "name", "is_staff", "is_active", "password_link", "second_factors", "created",
        "signed_in",
    )  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **{"form": UserForm, **kwargs})
        form.own = obj is not None and obj.pk == request.user.pk
        return form

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(email=term) if "@" in term else queryset.filter(name__istartswith=term), False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        """Applies each change through its service; the form has already refused what needs a second operator."""
        # `obj` has the form's values already; `stored` is the row as it still is.
        actor, stored = actor_of(request), User.objects.get(pk=obj.pk)
        people.rename(person=stored, name=obj.name, actor=actor)
        if stored.is_staff and not obj.is_staff:
            people.end_operator(person=stored, actor=actor)
        if stored.is_active and not obj.is_active:
            people.deactivate(person=stored, actor=actor)
        elif obj.is_active and not stored.is_active:
            people.reactivate(person=stored, actor=actor)

    @admin.display(description=_("person"), ordering="email")
    def person(self, user: User) -> str:
        return two_lines(user.name or user.email, user.email if user.name else "")

    # --- Links ---

    @admin.display(description=_("change of address"))
    def address(self, user: User) -> str:
        url = f"{reverse('admin:consent_operatorrequest_add')}?kind={RequestKind.ADDRESS}&person={user.pk}"
        return format_html('<a href="{}">{}</a>', url, gettext("Ask for another address"))

    @admin.display(description=_("password"))
    def password_link(self, user: User) -> str:
        url = reverse("admin:accounts_user_password_link", args=[user.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Mail a link to set one"))

    @admin.display(description=_("second factors"))
    def second_factors(self, user: User) -> str:
        if not is_mfa_enabled(user):
            return gettext("None")
        url = reverse("admin:accounts_user_second_factors", args=[user.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Remove them"))

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:object_id>/password-link/", wrap(self.link_view), name="accounts_user_password_link"),
            path("<str:object_id>/second-factors/", wrap(self.factors_view), name="accounts_user_second_factors"),
            *super().get_urls(),
        ]

    # --- Pages ---

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form, status = NewUserForm(request.POST if request.method == "POST" else None), 200
        if request.method == "POST":
            actor, link = actor_of(request), password_link(request)
            made = run_service(form, lambda data: people.create_person(**data, actor=actor, password_link=link))
            if made.done:
                self.log_addition(request, made.result, [{"added": {}}])
                messages.success(request, gettext("The person is added, and a link to set a password is mailed."))
                return redirect("admin:accounts_user_change", made.result.pk)
            status = made.status
        ask = f"{reverse('admin:consent_operatorrequest_add')}?kind={RequestKind.OPERATOR}"
        lead = format_html(
            '{} <a href="{}">{}</a>', gettext("The new person is not an operator."), ask, gettext("Ask for an operator")
        )
        context = {"form": form, "submit": gettext("Add the person"), "lead": lead}
        return self.screen(request, "admin/form.html", context, title=gettext("New person"), status=status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        person: User = self.get_or_404(User.objects, object_id)
        context = {"title": str(person), "subtitle": None, "list_title": self.list_title, **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def link_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Mails a link to set a password; for an operator's account a second operator has to confirm it."""
        user: User = self.get_or_404(User.objects, object_id)
        return self._act(
            request,
            user,
            RequestKind.LINK,
            lambda: people.mail_link(person=user, actor=actor_of(request), password_link=password_link(request)),
            title=gettext("A link for %(user)s to set a password") % {"user": user.email},
            lead=gettext("It goes to this person's own address, and nobody else sees it."),
            submit=gettext("Mail the link"),
            done=gettext("The link is mailed."),
        )

    def factors_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Removes the second factors of somebody who lost them all. The operator is responsible for who is asking."""
        user: User = self.get_or_404(User.objects, object_id)
        return self._act(
            request,
            user,
            RequestKind.SECOND_FACTORS,
            lambda: people.remove_second_factors(person=user, actor=actor_of(request)),
            title=gettext("Second factors of %(user)s") % {"user": user.email},
            lead=gettext(
                "Only where you are sure who is asking: from now on the password alone signs in, until another is set "
                "up."
            ),
            submit=gettext("Remove them"),
            done=gettext("The second factors are removed, and every session is ended."),
        )

    def _act(
        self,
        request: HttpRequest,
        user: User,
        kind: RequestKind,
        act: Any,
        *,
        title: str,
        lead: str,
        submit: str,
        done: str,
    ) -> HttpResponse:
        """Shows a form and runs `act`; if `user` is an operator, it makes a request for a second operator instead."""
        form: OperatorForm = (ReasonForm if user.is_staff else OperatorForm)(request.POST or None)
        status = 200
        if request.method == "POST":
            form = (ReasonForm if user.is_staff else OperatorForm)(request.POST)
            made = run_service(form, lambda data: self._do_or_ask(request, user, kind, act, data))
            if made.done and made.result is None:
                self.log_change(request, user, [{"changed": {"fields": [kind.value]}}])
                messages.success(request, done)
                return redirect("admin:accounts_user_change", user.pk)
            if made.done:
                messages.success(request, gettext("Nothing is changed yet: another operator has to confirm it."))
                return redirect("admin:consent_operatorrequest_change", made.result.pk)
            status = made.status
        if user.is_staff:
            lead, submit = f"{lead} {people.NEEDS_SECOND}", gettext("Ask another operator")
        context = {"form": form, "original": user, "submit": submit, "lead": lead}
        return self.screen(request, "admin/form.html", context, title=title, status=status)

    @staticmethod
    def _do_or_ask(request: HttpRequest, user: User, kind: RequestKind, act: Any, data: dict[str, Any]) -> Any:
        if user.is_staff:
            return operator_requests.ask(kind=kind, subject=user, actor=actor_of(request), reason=data["reason"])
        return act()
