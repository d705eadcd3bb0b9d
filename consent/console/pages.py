"""Shared by all pages of the console: sign-in, access to an organization, and the navigation."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _
from django_htmx.http import HttpResponseClientRedirect

from accounts.access import ROLE_PERMISSIONS, Actor, Forbidden, NotFound, Permission, get_organization, role_of
from accounts.models import Member, Organization, Subscription, User
from accounts.reauthentication import confirm_person, session_actor
from accounts.second_factor import needs_second_factor

from ..errors import ConfirmationRequired
from ..surfaces import AI_STUDIO_CONSOLE, LE_CHAT_CONSOLE, LE_CHAT_MOBILE
from . import unsaved

CONSOLE_ROLES = tuple(role for role, held in ROLE_PERMISSIONS.items() if Permission.CONSENT_VIEW in held)
_SWITCHER_LENGTH = 8

Words = str | Promise
PersonView = Callable[..., HttpResponse]
OrganizationView = Callable[[HttpRequest, Actor, Organization], HttpResponse]


def _htmx(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def person_page(view: PersonView) -> PersonView:
    """Decorate a view for signed-in people: it gets their Actor. NotFound becomes a 404, Forbidden a 403.

    Others are sent to sign in first, and actions that need it ask for the password or second factor again.
    """

    @functools.wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            unsaved.keep(request)
            if _htmx(request):
                # The session has ended: htmx must load the sign-in page, not swap it into a setting.
                page_url = request.htmx.current_url_abs_path or "/"  # type: ignore[attr-defined]
                return HttpResponseClientRedirect(redirect_to_login(page_url)["Location"])
            return redirect_to_login(unsaved.page_of(request))
        request.signed_person = unsaved.sign_person(request.user)  # type: ignore[attr-defined]
        if (saved := unsaved.resume(request)) is not None:
            return saved
        try:
            response = view(request, session_actor(request), *args, **kwargs)
        except NotFound:
            raise Http404 from None
        except Forbidden:
            raise PermissionDenied from None
        except ConfirmationRequired:
            if _htmx(request):
                # htmx must load the page that asks for the password, not swap it in; then the person chooses again.
                here = request.htmx.current_url_abs_path or "/"  # type: ignore[attr-defined]
                return HttpResponseClientRedirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': here})}")
            confirm_person(request)
        # Never cached, not even for the Back button: an old page could say "used" after an opt-out.
        add_never_cache_headers(response)
        return response

    return wrapped


def organization_page(permission: Permission) -> Callable[[OrganizationView], PersonView]:
    """Decorate a view of one organization, for people with this permission there; it gets Actor and Organization."""

    def decorate(view: OrganizationView) -> PersonView:
        @person_page
        @functools.wraps(view)
        def wrapped(request: HttpRequest, actor: Actor, org: str) -> HttpResponse:
            return view(request, actor, get_organization(actor, org, permission))

        return wrapped

    return decorate


def own_consoles(actor: Actor) -> Any:
    """The organizations whose console the person may open by their own role there, ordered by name."""
    mine = Member.objects.active().of_person(actor).filter(role__in=CONSOLE_ROLES)
    return Organization.objects.filter(pk__in=mine.values("organization_id")).order_by("name", "pk")


@dataclasses.dataclass(frozen=True)
class Link:
    label: Words
    url: str
    current: bool


@dataclasses.dataclass(frozen=True)
class Group:
    heading: Words
    links: tuple[Link, ...]


@dataclasses.dataclass(frozen=True)
class Navigation:
    person: str
    standing: Words
    is_operator: bool
    organization: Organization | None
    plans: str
    consoles: list[Organization]
    more_consoles: bool
    groups: list[Group]


def plan_names(organization: Organization) -> str:
    live = (
        Subscription.objects.filter(organization=organization, ended_at=None)
        .select_related("plan")
        .order_by("plan__position")
    )
    return " · ".join(subscription.plan.name for subscription in live)


def _navigation(request: HttpRequest, actor: Actor, organization: Organization | None) -> Navigation:
    # One more than the switcher shows tells whether there are more.
    consoles = list(own_consoles(actor)[: _SWITCHER_LENGTH + 1])
    if organization is None and len(consoles) == 1:
        organization = consoles[0]
    role = role_of(actor, organization) if organization else None
    may_manage = actor.is_operator or (role is not None and Permission.WEBHOOKS_MANAGE in ROLE_PERMISSIONS[role])
    groups = _console_groups(request.path, organization, may_manage=may_manage) if organization else []
    account = Group(
        LE_CHAT_MOBILE.path[0],
        (
            _link(request.path, LE_CHAT_MOBILE.path[-1], reverse("console:data-controls")),
            _link(request.path, _("Profile"), reverse("console:profile")),
            _link(request.path, _("Sign-in and security"), reverse("mfa_index")),
            _link(request.path, _("Notifications"), reverse("console:notifications")),
        ),
    )
    return Navigation(
        person=str(request.user),
        standing=role.label if role else _("Operator") if actor.is_operator else request.user.get_username(),
        is_operator=actor.is_operator,
        organization=organization,
        plans=plan_names(organization) if organization else "",
        consoles=consoles[:_SWITCHER_LENGTH],
        more_consoles=len(consoles) > _SWITCHER_LENGTH,
        groups=[*groups, account],
    )


def _console_groups(path: str, organization: Organization, *, may_manage: bool) -> list[Group]:
    def link(label: Words, name: str) -> Link:
        return _link(path, label, reverse(f"console:{name}", args=[organization.pk]))

    manage = Group(LE_CHAT_CONSOLE.path[0], (link(LE_CHAT_CONSOLE.path[1], "le-chat"), link(_("Members"), "members")))
    managed = (link(_("Settings"), "settings"), link(_("Webhooks"), "webhooks")) if may_manage else ()
    records = (link(_("History"), "history"), *managed)
    return [
        Group("", (link(_("Overview"), "overview"),)),
        manage,
        Group(AI_STUDIO_CONSOLE.product.label, (link(AI_STUDIO_CONSOLE.path[0], "privacy"),)),
        Group(_("Records"), records),
    ]


def _link(path: str, label: Words, url: str) -> Link:
    return Link(label, url, current=path == url)


def page(
    request: HttpRequest,
    actor: Actor,
    template: str,
    context: dict[str, Any],
    *,
    organization: Organization | None = None,
    status: int = 200,
) -> HttpResponse:
    """Render a whole page with the portal's navigation."""
    nav = _navigation(request, actor, organization)
    return render(request, template, {**context, "organization": organization, "nav": nav}, status=status)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor that gives allauth's account pages the portal's navigation."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not request.path.startswith("/account/"):
        return {}
    # Lazy, so that pages without the navigation cost no queries.
    return {
        "nav": SimpleLazyObject(lambda: _navigation(request, Actor.from_user(user), None)),
        "needs_second_factor": SimpleLazyObject(lambda: needs_second_factor(user)),
    }
