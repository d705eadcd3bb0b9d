"""A second factor for those who can change what others are promised (setting REQUIRE_MFA)."""

from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from config.problems import Problem

from .models import Member, MemberRole, User

# Where somebody without a second factor may still go: to set one up, and away.
_OPEN = ("/account/", "/sign-out/", "/static/")
_ASKED_OF = (MemberRole.OWNER, MemberRole.ADMIN)


def needs_second_factor(user: User) -> bool:
    """Whether this person has to set one up before anything else."""
    if not settings.REQUIRE_MFA or is_mfa_enabled(user):
        return False
    return user.is_staff or Member.objects.active().filter(user=user, role__in=_ASKED_OF).exists()


class SecondFactorMiddleware:
    """Leads to the page that sets one up; answers the API with 403."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # `settings` first: where nothing is required, nobody is looked up for a page that needs nobody.
        if not settings.REQUIRE_MFA or request.path.startswith(_OPEN):
            return self.get_response(request)
        user = request.user
        if not isinstance(user, User) or not needs_second_factor(user):
            return self.get_response(request)
        if request.path.startswith(("/api/", "/access/")):
            return Problem(403, "second_factor_required", _("Set up a second factor first.")).response()
        return redirect(f"{reverse('mfa_index')}?required=1")
