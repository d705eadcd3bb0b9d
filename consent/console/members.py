"""The organization's members, their roles, and open invitations."""

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from accounts.access import Actor, NotFound, Permission, get_member, is_lesser, permissions
from accounts.fields import AddressFormField, parse_id
from accounts.models import Invitation, Member, MemberRole, Organization

from ..errors import ServiceError
from ..models import Source
from ..presentation import consequences, privacy_settings
from ..presentation.asking import Asked, once_confirmed
from ..services import invitations
from ..services import members as service
from ..surfaces import LE_CHAT_CONSOLE
from .asked import ask
from .forms import Keyset
from .pages import organization_page, page
from .paging import by_name, page_of


class InvitationForm(forms.Form):
    email = AddressFormField(label=_("E-mail"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=MemberRole.choices, initial=MemberRole.MEMBER)


class MemberList(Keyset):
    """What of the list is shown: in the URL, so that it can be kept and the Back button works."""

    q = forms.CharField(required=False, max_length=200)
    sort = forms.ChoiceField(required=False, choices=[("", ""), ("name", "")])


@require_http_methods(["GET", "HEAD", "POST"])
@organization_page(Permission.MEMBERS_VIEW)
def members(request: HttpRequest, actor: Actor, organization: Organization) -> HttpResponse:
    """The list of members. Its forms post an action (`do`) and the member or invitation that it is for."""
    if request.method != "POST":
        return _page(request, actor, organization)
    do = _VERBS.get(request.POST.get("do", ""))
    if do is None:
        return _page(request, actor, organization, status=400)
    try:
        done = do(request, actor, organization)
    except _BadForm as bad:
        return _page(request, actor, organization, form=bad.form, status=400)
    except ServiceError as error:
        messages.error(request, gettext("Not saved. %(why)s") % {"why": error.detail})
        return _page(request, actor, organization, status=error.http_status)
    if done.told is not None:
        return ask(request, actor, organization, done)
    messages.success(request, done.result)
    query = request.GET.urlencode()
    return redirect(f"{reverse('console:members', args=[organization.pk])}{query and '?'}{query}")


class _BadForm(Exception):
    def __init__(self, form: InvitationForm) -> None:
        super().__init__()
        self.form = form


def _invite(request: HttpRequest, actor: Actor, organization: Organization) -> Asked:
    form = InvitationForm(request.POST, label_suffix="")
    if not form.is_valid():
        raise _BadForm(form)

    def link(secret: str) -> str:
        return request.build_absolute_uri(reverse("invitation", args=[secret]))

    sent = invitations.invite(
        source=Source.CONSOLE, organization=organization, actor=actor, link=link, **form.cleaned_data
    )
    return Asked(gettext("An invitation is on its way to %(email)s.") % {"email": sent.email})


def _withdraw(request: HttpRequest, actor: Actor, organization: Organization) -> Asked:
    pk = parse_id(request.POST.get("invitation", ""))
    found = Invitation.objects.filter(organization=organization, pk=pk).first() if pk else None
    if found is None:
        raise NotFound("invitation")
    invitations.withdraw(source=Source.CONSOLE, invitation=found, actor=actor)
    return Asked(gettext("The invitation of %(email)s is withdrawn.") % {"email": found.email})


def _set_role(request: HttpRequest, actor: Actor, organization: Organization) -> Asked:
    member, role = _member(request, actor, organization), request.POST.get("role", "")

    def update() -> str:
        changed = service.update_member(member=member, actor=actor, source=Source.CONSOLE, role=role)
        words = {"member": member.user, "role": changed.get_role_display()}
        return gettext("%(member)s has the role: %(role)s.") % words

    if not is_lesser(role, member.role):
        return Asked(update())
    return once_confirmed(request, lambda: consequences.of_lesser_role(member, update))


def _remove(request: HttpRequest, actor: Actor, organization: Organization) -> Asked:
    member = _member(request, actor, organization)

    def remove() -> str:
        service.remove_member(member=member, actor=actor, source=Source.CONSOLE)
        return gettext("%(member)s has left.") % {"member": member.user}

    return once_confirmed(request, lambda: consequences.of_leaving(member, remove))


def _member(request: HttpRequest, actor: Actor, organization: Organization) -> Member:
    return get_member(actor, organization, request.POST.get("member", ""))


_VERBS = {"invite": _invite, "withdraw": _withdraw, "role": _set_role, "remove": _remove}


def _page(
    request: HttpRequest,
    actor: Actor,
    organization: Organization,
    *,
    form: InvitationForm | None = None,
    status: int = 200,
) -> HttpResponse:
    shown = MemberList(request.GET)
    shown.is_valid()  # each field counts that is; a page that is no more is the first one
    asked, sort, after = (shown.cleaned_data.get(name) for name in ("q", "sort", "after"))
    every = Member.objects.visible_to(actor).filter(organization=organization).select_related("user")
    active = every.active().called(asked) if asked else every.active()
    opted_out = privacy_settings.organization_setting(organization, LE_CHAT_CONSOLE, actor).members_opted_out
    # Only an open team can invite people and change its members.
    team = organization.kind == Organization.Kind.TEAM and not organization.is_closed
    may_manage = team and Permission.MEMBERS_MANAGE in permissions(actor, organization)
    context: dict[str, Any] = {
        "page": by_name(request, active, every, after) if sort else page_of(request, active, after),
        "asked": asked or "",
        "sort": sort or "",
        "opted_out": opted_out,
        "may_manage": may_manage,
        "roles": MemberRole.choices,
        "form": form or InvitationForm(label_suffix=""),
        "invitations": Invitation.objects.live().filter(organization=organization) if may_manage else (),
    }
    return page(request, actor, "console/members.html", context, organization=organization, status=status)
