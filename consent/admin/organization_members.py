"""An organization's members and history for operators, who also see each member's own choice (R4)."""

import dataclasses
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.models import Member, Organization

from ..models import ConsentEvent
from ..presentation import privacy_settings
from ..rules import Choice
from ..services import members
from ..surfaces import LE_CHAT_MOBILE
from .base import OperatorAdmin, actor_of, run_service
from .forms import AfterForm, NewMemberForm
from .ledger import name_events
from .organization_page import SOURCE

ROWS = 50


@dataclasses.dataclass(frozen=True)
class KeysetPage:
    """Rows, newest first; `after` is the keyset cursor of the next page, None on the last."""

    rows: list[Any]
    after: Any


def keyset_page(rows: Any, after: Any) -> KeysetPage:
    # One row more than the page tells whether there is a next one.
    found = list((rows.filter(pk__lt=after) if after else rows).order_by("-pk")[: ROWS + 1])
    return KeysetPage(found[:ROWS], found[ROWS - 1].pk if len(found) > ROWS else None)


class OrganizationMembers(OperatorAdmin):
    def members_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The list of members with their own choices; a POST adds a member."""
        organization: Organization = self.get_or_404(Organization.objects, object_id)
        if request.method != "POST":
            return self._members(request, organization, NewMemberForm())
        form = NewMemberForm(request.POST)
        made = run_service(form, lambda data: self._add(actor_of(request), organization, data))
        if not made.done:
            return self._members(request, organization, form, made.status)
        messages.success(request, _("%(member)s is a member now.") % {"member": made.result.user})
        return redirect("admin:accounts_organization_members", organization.pk)

    @staticmethod
    def _add(actor: Actor, organization: Organization, data: dict[str, Any]) -> Member:
        return members.add_member(organization=organization, actor=actor, source=SOURCE, **data)

    def _members(
        self, request: HttpRequest, organization: Organization, form: NewMemberForm, status: int = 200
    ) -> HttpResponse:
        keyset = AfterForm(request.GET)
        after = keyset.cleaned_data["member"] if keyset.is_valid() else None
        rows = Member.objects.filter(organization=organization).select_related("organization", "user")
        opted_out = request.GET.get("choice") == Choice.OPTED_OUT
        if opted_out:
            theirs = {"product": LE_CHAT_MOBILE.product, "choice": Choice.OPTED_OUT}
            rows = rows.filter(**{f"privacy_settings__{name}": value for name, value in theirs.items()})
        page = keyset_page(rows, after)
        settings = privacy_settings.member_settings(page.rows, LE_CHAT_MOBILE, actor_of(request))
        context = {
            "original": organization,
            "settings": settings,
            "surface": LE_CHAT_MOBILE,
            "after": page.after,
            "opted_out": opted_out,
            "form": form,
        }
        title = _("Members of %(organization)s") % {"organization": organization.name}
        return self.screen(request, "admin/organization/members.html", context, title=title, status=status)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The organization's events from the ledger, newest first, including members' own choices."""
        organization: Organization = self.get_or_404(Organization.objects, object_id)
        keyset = AfterForm(request.GET)
        after = keyset.cleaned_data["event"] if keyset.is_valid() else None
        events = ConsentEvent.objects.visible_to(actor_of(request)).filter(organization=organization)
        page = keyset_page(events.select_related("member__user"), after)
        name_events(page.rows, actor_of(request))
        title = _("History of %(organization)s") % {"organization": organization.name}
        context = {"original": organization, "rows": page.rows, "after": page.after}
        return self.screen(request, "admin/organization/history.html", context, title=title)
