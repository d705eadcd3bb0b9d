"""allauth's forms, with the portal's limits on attempts (see `attempts`)."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.forms import LoginForm as AccountLoginForm
from allauth.account.forms import ResetPasswordForm as AccountResetPasswordForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm as MfaAuthenticateForm
from allauth.mfa.base.forms import BaseAuthenticateForm
from allauth.mfa.base.forms import ReauthenticateForm as MfaReauthenticateForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from . import attempts, email_addresses, limits


# Counts each code that is tried; both forms below check codes in `clean_code`.
class _Counted(BaseAuthenticateForm):  # type: ignore[misc]  # allauth has no types
    def clean_code(self) -> str:
        try:
            with attempts.guess(context.request, attempts.CODE, self.user.email, self.user):
                code: str = super().clean_code()
        except limits.TooMany:
            raise get_adapter().validation_error("too_many_login_attempts") from None
        return code


class AuthenticateForm(_Counted, MfaAuthenticateForm):  # type: ignore[misc]
    """Asks for the second factor at sign-in."""


class ReauthenticateForm(_Counted, MfaReauthenticateForm):  # type: ignore[misc]
    """Asks for the second factor at reauthentication."""


class AddPasskeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """Adds a passkey that signs in alone, unless the person wants it as a second factor only."""

    # allauth's script and view know the field by this name.
    passwordless = forms.BooleanField(
        label=_("Sign in with this passkey alone (passwordless)"),
        required=False,
        initial=True,
        help_text=_(
            "Your device then asks for your fingerprint, your face or its PIN. Without it the passkey is a second "
            "factor after your password."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = _("Name of the passkey")


class LoginForm(AccountLoginForm):  # type: ignore[misc]
    def clean_login(self) -> str:
        """Normalize the address, because allauth compares it letter by letter."""
        return email_addresses.asked(self.cleaned_data["login"])


class ResetPasswordForm(AccountResetPasswordForm):  # type: ignore[misc]
    def clean_email(self) -> str:
        """Normalize the address, so that the link goes to the stored one, not to the spelling that was typed."""
        self.cleaned_data["email"] = email_addresses.asked(self.cleaned_data["email"])
        email: str = super().clean_email()
        return email

    def save(self, request: HttpRequest, **more: Any) -> str:
        """Send the link. Beyond the limit send nothing, with the same response; links sent before stay valid."""
        email: str = self.cleaned_data["email"]
        try:
            attempts.begin(request, attempts.RESET, email)
        except limits.TooMany:
            return email
        super().save(request, **more)
        return email
