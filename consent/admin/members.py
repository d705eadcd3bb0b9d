"""Members: role, external id, leaving, and their own choice, which an operator may only tighten (R4)."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.access import is_lesser
from accounts.fields import split_ident
from accounts.models import Member

from ..errors import ServiceError
from ..presentation import consequences, privacy_settings
from ..presentation.asking import Asked, once_confirmed
from ..rules import Choice
from ..services import choices, members
from ..surfaces import LE_CHAT_MOBILE
from .base import OperatorAdmin, actor_of, instant, require_post, run_service
from .external_ids import ids_of, withdraw
from .forms import MemberForm, WithdrawForm
from .lists import two_lines
from .organization_page import SOURCE


@admin.register(Member)
class MemberAdmin(OperatorAdmin):
    """The list and the page of a member; adding one is done on the organization's page."""

    can_change = True
    list_title = _("Memberships")
    list_display = ("person", "organization", "role", "standing", "joined")
    list_select_related = ("user", "organization")
    list_filter = ("role", "status")
    ordering = ("-id",)
    search_fields = ("=user__email",)
    search_help_text = _("An e-mail address, an external id, or a member's or organization's id, in full.")
    joined = instant("joined_at", _("joined"))
    left = instant("left_at", _("left"))

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "organization")

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        pk, _external = split_ident(term)
        if not term:
            return queryset, False
        if pk is not None:
            return queryset.filter(pk=pk) | queryset.filter(organization_id=pk), False
        if "@" in term:
            return queryset.filter(user__email=term), False
        return queryset.with_external_id(term.removeprefix("external:")), False

    @admin.display(description=_("member"))
    def person(self, member: Member) -> str:
        return two_lines(member.user, member.user.email if member.user.name else "")

    @admin.display(description=_("status"))
    def standing(self, member: Member) -> str:
        return two_lines(member.get_status_display(), self.left(member) if member.left_at else "")

    def get_urls(self) -> list[Any]:
        wrap, name = self.admin_site.admin_view, "accounts_member"
        return [
            path("<str:object_id>/external-ids/withdraw/", wrap(self.withdraw_view), name=f"{name}_withdraw_id"),
            path("<str:object_id>/leave/", wrap(self.leave_view), name=f"{name}_leave"),
            path("<str:object_id>/opt-out/", wrap(self.opt_out_view), name=f"{name}_opt_out"),
            *super().get_urls(),
        ]

    def _member(self, object_id: str) -> Member:
        member: Member = self.get_or_404(Member.objects.select_related("user", "organization"), object_id)
        return member

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        member = self._member(object_id)
        if request.method != "POST":
            return self._page(request, member)
        form = MemberForm(request.POST)

        def change(data: dict[str, Any]) -> Asked:
            run = partial(members.update_member, member=member, actor=actor_of(request), source=SOURCE, **data)
            if not is_lesser(data["role"], member.role):
                return Asked(run())
            return once_confirmed(request, lambda: consequences.of_lesser_role(member, run))

        done = run_service(form, change)
        if not done.done:
            return self._page(request, member, form, done.status)
        if done.result.told is not None:
            return self._ask(request, member, done.result)
        messages.success(request, gettext("Saved."))
        return redirect("admin:accounts_member_change", member.pk)

    def _page(
        self,
        request: HttpRequest,
        member: Member,
        form: MemberForm | None = None,
        status: int = 200,
        withdrawal: WithdrawForm | None = None,
    ) -> HttpResponse:
        details = {"role": member.role, "external_id": member.external_id}
        context = {
            "original": member,
            "setting": privacy_settings.member_setting(member, LE_CHAT_MOBILE, actor_of(request)),
            "surface": LE_CHAT_MOBILE,
            "form": form or MemberForm(initial=details),
            **ids_of(member.organization, member, withdrawal),
        }
        return self.screen(request, "admin/member.html", context, title=str(member.user), status=status)

    @require_post
    def withdraw_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        member = self._member(object_id)
        form, done = withdraw(request, member.organization, member)
        if not done.done:
            return self._page(request, member, withdrawal=form, status=done.status)
        messages.success(request, gettext("The external id is withdrawn. It identifies nobody now."))
        return redirect("admin:accounts_member_change", member.pk)

    @require_post
    def leave_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        member = self._member(object_id)
        run = partial(members.remove_member, member=member, actor=actor_of(request), source=SOURCE)
        try:
            done = once_confirmed(request, lambda: consequences.of_leaving(member, run))
        except ServiceError as error:
            return self._refused(request, member, error)
        if done.told is not None:
            return self._ask(request, member, done)
        messages.success(request, gettext("%(member)s has left.") % {"member": member.user})
        return redirect("admin:accounts_member_change", member.pk)

    def _ask(self, request: HttpRequest, member: Member, asked: Asked) -> HttpResponse:
        return self.ask(request, asked, member, reverse("admin:accounts_member_change", args=[member.pk]))

    @require_post
    def opt_out_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Opts the member out. There is no view to opt in: only members can do that for themselves."""
        member = self._member(object_id)
        try:
            choices.choose(
                surface=LE_CHAT_MOBILE,
                organization=member.organization,
                member=member,
                choice=Choice.OPTED_OUT,
                actor=actor_of(request),
                source=SOURCE,
            )
        except ServiceError as error:
            return self._refused(request, member, error)
        messages.success(request, gettext("%(member)s is opted out: their data is not used.") % {"member": member.user})
        if request.POST.get("back") == "members":
            return redirect("admin:accounts_organization_members", member.organization_id)
        return redirect("admin:accounts_member_change", member.pk)

    def _refused(self, request: HttpRequest, member: Member, error: ServiceError) -> HttpResponse:
        messages.error(request, gettext("Not saved. %(why)s") % {"why": error.detail})
        return self._page(request, member, status=error.http_status)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Redirects to the organization's history, which contains the member's events."""
        return redirect("admin:accounts_organization_history", self._member(object_id).organization_id)
