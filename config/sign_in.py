"""URLs for sign-in, sign-out and the user's account: allauth's views, under the portal's own paths."""

from typing import Any

from allauth.account import views as account
from allauth.mfa import urls as second_factors
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.utils.translation import gettext as _

from accounts import attempts, devices, limits
from consent.console import address, sessions
from consent.console.recorded import all_recorded, recorded


class SignIn(account.LoginView):  # type: ignore[misc]  # allauth has no types
    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Limit the attempts per minute; known and unknown addresses have the same limit, which reveals nothing."""
        try:
            attempts.sign_in(request, request.POST.get("login", "")[:254])
        except limits.TooMany as error:
            form = self.get_form()
            form.errors.clear()
            form.add_error(None, _("Too many attempts. Try again in a minute."))
            response: HttpResponse = self.render_to_response(self.get_context_data(form=form))
            response.status_code = 429
            response.headers["Retry-After"] = str(error.seconds)
            return response
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer

    def form_invalid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_invalid(form)
        if form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
            answer.status_code = 429
        return answer


class ResetPassword(account.PasswordResetFromKeyView):  # type: ignore[misc]
    def form_valid(self, form: Any) -> HttpResponse:
        """Clear the limits on attempts and trust this device: the mailed link proves access to the mailbox."""
        answer: HttpResponse = super().form_valid(form)
        attempts.forget(self.reset_user.email)
        devices.remember(self.request, answer, self.reset_user)
        return answer


urlpatterns = [
    path("sign-in/", SignIn.as_view(), name="account_login"),
    path("sign-out/", account.logout, name="account_logout"),
    # Sign-up is closed; this page says that accounts are made by invitation.
    path("sign-up/", account.signup, name="account_signup"),
    path("account/inactive/", account.account_inactive, name="account_inactive"),
    path("account/confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("account/password/", recorded(account.password_change), name="account_change_password"),
    path("account/password/set/", recorded(account.password_set), name="account_set_password"),
    path("account/email/", address.change, name="account_email"),
    path("account/email/<str:secret>/", address.confirm, name="account_confirm_email"),
    path("account/reset/", account.password_reset, name="account_reset_password"),
    path("account/reset/sent/", account.password_reset_done, name="account_reset_password_done"),
    path("account/reset/done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        r"^account/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        recorded(ResetPassword.as_view()),
        name="account_reset_password_from_key",
    ),
    path("account/second-factor/", include(all_recorded(second_factors.urlpatterns))),
    path("account/sessions/", sessions.sessions, name="usersessions_list"),
]
