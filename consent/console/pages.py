"""Shared by all pages of the console: sign-in, access to an organization, and the frame with the navigation."""

import functools
from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.functional import SimpleLazyObject
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect

from accounts.access import Actor, Forbidden, NotFound, Permission, get_organization
from accounts.models import Organization, User
from accounts.reauthentication import confirm_person, session_actor
from accounts.second_factor import needs_second_factor

from ..errors import ConfirmationRequired
from ..navigation import navigation_of
from . import acts, unsaved

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
    unseen = acts.unseen(actor, organization) if organization else None
    nav = navigation_of(request, actor, organization)
    context = {**context, "organization": organization, "nav": nav, "unseen": unseen}
    return render(request, template, context, status=status)


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor that gives allauth's account pages the portal's navigation."""
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not request.path.startswith("/account/"):
        return {}
    # Lazy, so that pages without the navigation cost no queries.
    return {
        "nav": SimpleLazyObject(lambda: navigation_of(request, Actor.from_user(user))),
        "needs_second_factor": SimpleLazyObject(lambda: needs_second_factor(user)),
    }
