"""People: their e-mail, name and standing. Who belongs where is a matter of members."""

from typing import TYPE_CHECKING, Any

from allauth.mfa.utils import is_mfa_enabled
from django import forms
from django.contrib import admin, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.password_validation import password_validators_help_texts, validate_password
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts.access import Act
from accounts.deactivation import end_sessions, forget_other_addresses, remove_second_factors
from accounts.models import User

from ..models import Source
from ..services import credentials, layers
from .base import OperatorAdmin, actor_of, yes_no

if TYPE_CHECKING:
    BaseUserForm = forms.ModelForm[User]
    BasePasswordForm = SetPasswordForm[User]
else:
    BaseUserForm, BasePasswordForm = forms.ModelForm, SetPasswordForm


class UserForm(BaseUserForm):
    class Meta:
        model = User
        fields: tuple[str, ...] = ("email", "name", "is_staff", "is_active")

    own = False  # set where the person at the screen looks at themselves

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.own:
            for field, problem in (
                ("is_staff", _("You can't take away your own right to operate; ask another operator.")),
                ("is_active", _("You can't deactivate yourself; ask another operator.")),
            ):
                if data.get(field) is False:
                    self.add_error(field, problem)
        return data


class NewUserForm(UserForm):
    password = forms.CharField(
        label=_("Password"),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("At least 12 characters, and none that are easy to guess."),
    )

    class Meta(UserForm.Meta):
        fields = ("email", "name", "is_staff")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        person = User(email=self.cleaned_data.get("email", ""), name=self.cleaned_data.get("name", ""))
        validate_password(password, person)
        return password

    def save(self, commit: bool = True) -> User:
        self.instance.set_password(self.cleaned_data["password"])
        user: User = super().save(commit)
        return user


class PasswordForm(BasePasswordForm):
    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(user, *args, **kwargs)
        self.fields["new_password1"].help_text = " ".join(password_validators_help_texts())


@admin.register(User)
class UserAdmin(OperatorAdmin):
    can_add = can_change = True
    list_display = ("email", "name", "operator", "active", "created_at")
    operator = yes_no("is_staff", _("operator"))
    active = yes_no("is_active", _("active"))
    list_filter = ("is_staff", "is_active")
    ordering = ("-id",)
    search_fields = ("=email",)
    search_help_text = _("An e-mail address in full, or the start of a name.")
    readonly_fields = ("password_link", "second_factors", "created_at", "last_login")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        base = UserForm if change else NewUserForm
        form: Any = super().get_form(request, obj, change=change, **{"form": base, **kwargs})
        form.own = obj is not None and obj.pk == request.user.pk
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("email", "name", "is_staff", "password")
        return (
            *("email", "name", "is_staff", "is_active"),
            *("password_link", "second_factors", "created_at", "last_login"),
        )

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(email=term.lower()) if "@" in term else queryset.filter(name__istartswith=term), False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        # No event speaks of users: this is the one model that is saved here.
        with transaction.atomic():
            obj.save()
            forget_other_addresses(obj)
            if not obj.is_active:
                end_sessions(obj)
            credentials.suspend_for(
                obj, actor=actor_of(request), source=Source.ADMIN
            )  # what the person may not answer for any more

    @admin.display(description=_("password"))
    def password_link(self, user: User) -> str:
        url = reverse("admin:accounts_user_password", args=[user.pk])
        words = gettext("Set a new password") if user.has_usable_password() else gettext("None yet: set one")
        return format_html('<a href="{}">{}</a>', url, words)

    @admin.display(description=_("second factors"))
    def second_factors(self, user: User) -> str:
        if not is_mfa_enabled(user):
            return gettext("None")
        url = reverse("admin:accounts_user_second_factors", args=[user.pk])
        return format_html('<a href="{}">{}</a>', url, gettext("Remove them"))

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        password = wrap(sensitive_post_parameters()(self.password_view))
        factors = wrap(self.second_factors_view)
        return [
            path("<str:object_id>/password/", password, name="accounts_user_password"),
            path("<str:object_id>/second-factors/", factors, name="accounts_user_second_factors"),
            *super().get_urls(),
        ]

    def second_factors_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """For somebody who has lost them, recovery codes and all; that it is they who ask, the operator answers for."""
        user: User = self.found(User.objects, object_id)
        if request.method == "POST":
            layers.require_confirmed(actor_of(request), Act.OPERATOR_MAKE)
            remove_second_factors(user)
            self.log_change(request, user, [{"changed": {"fields": [gettext("second factors")]}}])
            messages.success(request, gettext("The second factors are removed, and every session is ended."))
            return redirect("admin:accounts_user_change", user.pk)
        words = gettext(
            "Only where you are sure who is asking: from now on the password alone signs in, until another is set up."
        )
        context = {"form": forms.Form(), "original": user, "submit": gettext("Remove them"), "lead": words}
        title = gettext("Second factors of %(user)s") % {"user": user.email}
        return self.screen(request, "admin/form.html", context, title=title)

    def password_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user: User = self.found(User.objects, object_id)
        form = PasswordForm(user, request.POST or None)
        if request.method == "POST" and form.is_valid():
            form.save()
            self.log_change(request, user, [{"changed": {"fields": [gettext("password")]}}])
            if user.pk == request.user.pk:
                update_session_auth_hash(request, user)
            messages.success(request, gettext("The new password is set."))
            return redirect("admin:accounts_user_change", user.pk)
        status = 400 if request.method == "POST" else 200
        context = {"form": form, "original": user, "submit": gettext("Set password")}
        title = gettext("New password for %(user)s") % {"user": user.email}
        return self.screen(request, "admin/form.html", context, title=title, status=status)
