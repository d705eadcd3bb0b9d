"""API keys. A new key's text is shown to who made it, for some minutes; after that only its hash exists."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import shown_once
from accounts.access import NotFound, Permission, get_organization
from accounts.models import ApiKey

from ..errors import Invalid, ServiceError
from ..models import Source
from ..presentation import consequences
from ..presentation.asking import once_confirmed
from ..services import credentials
from ..services.credentials import Issued
from .base import PageAdmin, actor_of, instant, require_post, run_service, yes_no
from .filters import presence_filter
from .forms import KeyForm
from .lists import two_lines


@admin.register(ApiKey)
class ApiKeyAdmin(PageAdmin):
    can_add = can_change = True
    list_display = ("named", "belongs_to", "may", "is_live", "expires", "last_used")
    list_select_related = ("organization", "issued_by")
    list_filter = (
        presence_filter("revoked_at", _("revocation"), there=_("Revoked"), absent=_("Not revoked")),
        presence_filter("suspended_at", _("suspension"), there=_("Suspended"), absent=_("Not suspended")),
        presence_filter("organization", _("whose"), there=_("Organizations'"), absent=_("Operator keys")),
    )
    ordering = ("-id",)
    search_fields = ("=prefix", "name__istartswith")
    search_help_text = _("The start of a key's name, or its prefix in full.")
    fields = readonly_fields = (
        "name", "prefix", "belongs_to", "may", "issued_by",
        "is_installation", "is_live", "created", "expires", "suspended", "revoked", "last_used",
    )  # fmt: skip
    change_form_template = "admin/key_change.html"
    created = instant("created_at", _("created"))
    expires = instant("expires_at", _("expires"))
    suspended = instant("suspended_at", _("suspended"))
    revoked = instant("revoked_at", _("revoked"))
    last_used = instant("last_used_at", _("last used"))
    is_installation = yes_no("installation", _("the installation's own"))

    @admin.display(description=_("organization"))
    def belongs_to(self, key: ApiKey) -> str:
        return str(key.organization) if key.organization else gettext("Operator key")

    @admin.display(description=_("key"), ordering="name")
    def named(self, key: ApiKey) -> str:
        return two_lines(key.name, f"{key.prefix}…")

    @admin.display(description=_("may"))
    def may(self, key: ApiKey) -> str:
        return ", ".join(key.scope_labels)

    @admin.display(description=_("valid"))
    def is_live(self, key: ApiKey) -> str:
        if key.has_ended(timezone.now()):
            return gettext("No")
        return gettext("Suspended") if key.suspended_at else gettext("Yes")

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:object_id>/made/", wrap(self.made_view), name="accounts_apikey_made"),
            path("<str:object_id>/revoke/", wrap(self.revoke_view), name="accounts_apikey_revoke"),
            path("<str:object_id>/take-over/", wrap(self.take_over_view), name="accounts_apikey_take_over"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        form = KeyForm(request.POST if request.method == "POST" else None)
        status = 200
        if request.method == "POST":
            made = run_service(form, lambda data: self._issue(request, data))
            if made.done:
                self.log_addition(request, made.result.key, [{"added": {}}])
                return self._made(request, made.result)
            status = made.status
        context = {"form": form, "submit": gettext("Create the key")}
        return self.screen(request, "admin/form.html", context, title=gettext("New API key"), status=status)

    def _made(self, request: HttpRequest, issued: Issued) -> HttpResponse:
        """Leads to the page that shows the key's text: whoever loads it again makes no second key.

        A key without text waits for another operator to take it over.
        """
        if issued.text is None:
            words = gettext(
                "The key doesn't work yet. Another operator has to take it over; only that operator will see the key."
            )
            messages.warning(request, words)
            return redirect("admin:accounts_apikey_change", issued.key.pk)
        shown_once.keep(request, issued.key.pk, issued.text)
        return redirect("admin:accounts_apikey_made", issued.key.pk)

    def made_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The key's text, for as long as it is kept for this person; a POST says that it was copied."""
        key: ApiKey = self.get_or_404(ApiKey.objects.select_related("organization"), object_id)
        secret = shown_once.find(request, key.pk)
        if request.method == "POST" or not credentials.is_text_of(key, secret):
            shown_once.forget(request, key.pk)
            return redirect("admin:accounts_apikey_change", key.pk)
        context = {"key": key, "secret": secret}
        return self.screen(request, "admin/key_made.html", context, title=gettext("The new key"))

    def _issue(self, request: HttpRequest, data: dict[str, Any]) -> Issued:
        organization = None
        if data["organization"]:
            try:
                organization = get_organization(actor_of(request), data["organization"], Permission.KEYS_MANAGE)
            except NotFound:
                raise Invalid(
                    "unknown_organization", gettext("There is no such organization."), "organization"
                ) from None
        return credentials.issue_key(
            name=data["name"],
            scopes=data["scopes"],
            organization=organization,
            expires_at=data["expires_at"],
            actor=actor_of(request),
            source=Source.ADMIN,
        )

    def show(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The key's page, read-only: a key can be revoked or taken over, but not changed."""
        return self._looked_at(request, object_id)

    def _looked_at(self, request: HttpRequest, object_id: str, status: int = 200) -> HttpResponse:
        key: ApiKey = self.get_or_404(ApiKey.objects.select_related("organization", "issued_by"), object_id)
        buttons = {"show_save": False, "show_save_and_continue": False, "show_save_and_add_another": False}
        context = {**buttons, "ended": key.has_ended(timezone.now())}
        request.method = "GET"  # a refused POST shows the page again; Django's view would try to save it
        # Django's page, and not the one that this class shows by it.
        response: HttpResponse = super(PageAdmin, self).change_view(request, object_id, "", context)
        response.status_code = status
        return response

    @require_post
    def take_over_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Makes the operator responsible for the key, which gets a new text."""
        key: ApiKey = self.get_or_404(ApiKey.objects.select_related("organization"), object_id)
        run = partial(credentials.take_over_key, key=key, actor=actor_of(request), source=Source.ADMIN)
        try:
            done = once_confirmed(request, lambda: consequences.of_taking_over(key, run))
        except ServiceError as error:
            messages.error(request, str(error))
            return self._looked_at(request, str(key.pk), error.http_status)
        if done.told is not None:
            return self.ask(request, done, key, reverse("admin:accounts_apikey_change", args=[key.pk]))
        self.log_change(request, key, [{"changed": {"fields": [gettext("responsible")]}}])
        return self._made(request, done.result)

    @require_post
    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key: ApiKey = self.get_or_404(ApiKey.objects, object_id)
        run = partial(credentials.revoke_key, key=key, actor=actor_of(request), source=Source.ADMIN)
        done = once_confirmed(request, lambda: consequences.of_revoking(key, run))
        if done.told is not None:
            return self.ask(request, done, key, reverse("admin:accounts_apikey_change", args=[key.pk]))
        if done.result:
            self.log_change(request, key, [{"changed": {"fields": [gettext("revoked")]}}])
        messages.success(request, gettext("The key is revoked: from now on nothing can be done with it."))
        return redirect("admin:accounts_apikey_change", key.pk)
