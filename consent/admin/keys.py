"""API keys: a new one is shown once, on the page that made it; after that there is only its hash, never shown."""

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import NotFound, Permission, get_organization
from accounts.authentication import issue_key, revoke_key
from accounts.models import ApiKey

from ..services.errors import Invalid
from .base import OperatorAdmin, actor_of, attempt, posted
from .filters import there_filter
from .forms import KeyForm


@admin.register(ApiKey)
class ApiKeyAdmin(OperatorAdmin):
    can_add = can_change = True
    list_display = ("name", "prefix", "belongs_to", "scope_names", "is_live", "expires_at", "last_used_at")
    list_select_related = ("organization", "issued_by")
    list_filter = (
        there_filter("revoked_at", _("revocation"), there=_("Revoked"), absent=_("Not revoked")),
        there_filter("organization", _("whose"), there=_("Organizations'"), absent=_("Operator keys")),
    )
    ordering = ("-id",)
    search_fields = ("=prefix", "name__istartswith")
    search_help_text = _("The start of a key's name, or its prefix in full.")
    fields = readonly_fields = (
        "name", "prefix", "belongs_to", "scope_names", "issued_by",
        "is_live", "created_at", "expires_at", "revoked_at", "last_used_at",
    )  # fmt: skip
    change_form_template = "admin/key_change.html"

    @admin.display(description=_("organization"))
    def belongs_to(self, key: ApiKey) -> str:
        return str(key.organization) if key.organization else gettext("Operator key")

    @admin.display(description=_("scopes"))
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description=_("valid"))
    def is_live(self, key: ApiKey) -> str:
        return gettext("Yes") if key.is_live(timezone.now()) else gettext("No")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.revoke_view)
        return [path("<str:object_id>/revoke/", view, name="accounts_apikey_revoke"), *super().get_urls()]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = KeyForm(request.POST if request.method == "POST" else None)
        status = 200
        if request.method == "POST":
            made = attempt(form, lambda data: self._issue(request, data))
            if made.done:
                key, text = made.result
                self.log_addition(request, key, [{"added": {}}])
                return self.screen(
                    request, "admin/key_made.html", {"key": key, "text": text}, title=gettext("The new key")
                )
            status = made.status
        context = {"form": form, "submit": gettext("Create the key")}
        return self.screen(request, "admin/form.html", context, title=gettext("New API key"), status=status)

    def _issue(self, request: HttpRequest, data: dict[str, Any]) -> tuple[ApiKey, str]:
        organization = None
        if data["organization"]:
            try:
                organization = get_organization(actor_of(request), data["organization"], Permission.KEYS_MANAGE)
            except NotFound:
                raise Invalid(
                    "unknown_organization", gettext("There is no such organization."), "organization"
                ) from None
        try:
            return issue_key(
                data["name"],
                data["scopes"],
                organization=organization,
                expires_at=data["expires_at"],
                issued_by=actor_of(request).user,
            )
        except ValueError:
            scope = ApiKey.Scope.CONSENT_MEMBER.value
            raise Invalid(
                "operator_scope", gettext("The scope %(scope)s is for operator keys only.") % {"scope": scope}, "scopes"
            ) from None

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A key is looked at and revoked, never changed."""
        if request.method == "POST":
            return HttpResponse(status=405, headers={"Allow": "GET"})
        buttons = {"show_save": False, "show_save_and_continue": False, "show_save_and_add_another": False}
        return super().change_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    @posted
    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: ApiKey = self.found(ApiKey.objects, object_id)
        if revoke_key(key):
            self.log_change(request, key, [{"changed": {"fields": [gettext("revoked")]}}])
        messages.success(request, gettext("The key is revoked: from now on nothing can be done with it."))
        return redirect("admin:accounts_apikey_change", key.pk)
