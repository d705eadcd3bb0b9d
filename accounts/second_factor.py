"""Requires a second factor of operators, owners and admins (setting REQUIRE_MFA)."""

from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from config.problems import Problem

from .models import Member, MemberRole, User
from .sessions import SESSIONLESS

# Paths that stay open without a second factor: to set one up, to sign out, and those where no session counts.
_OPEN = ("/account/", "/sign-out/", "/static/", *SESSIONLESS)
_ASKED_OF = (MemberRole.OWNER, MemberRole.ADMIN)


def needs_second_factor(user: User) -> bool:
    """Whether this user has to set up a second factor before anything else."""
    if not settings.REQUIRE_MFA or is_mfa_enabled(user):
        return False
    return user.is_staff or Member.objects.active().filter(user=user, role__in=_ASKED_OF).exists()


class SecondFactorMiddleware:
    """Redirects pages to the set-up of a second factor, and answers API requests with 403, until there is one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # `settings` first: `request.user` costs a query, which a page may not need.
        if not settings.REQUIRE_MFA or request.path.startswith(_OPEN):
            return self.get_response(request)
        user = request.user
        if not isinstance(user, User) or not needs_second_factor(user):
            return self.get_response(request)
        if request.path.startswith(("/api/", "/access/")):
            return Problem(403, "second_factor_required", _("Set up a second factor first.")).response()
        return redirect(f"{reverse('mfa_index')}?required=1")
