"""How allauth fits this portal: nobody signs up; second factors carry the portal's name, their secrets encrypted."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from . import attempts, clock, devices, email_addresses, keys, limits
from .models import User

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def is_open_for_signup(self, _request: HttpRequest) -> bool:
        """Accounts come from operators and invitations."""
        return False

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Not to an address that operators gave this person lately: its true owner has time to object (R19)."""
        if user.no_links_until is None or user.no_links_until <= clock.now():
            super().send_password_reset_mail(user, email, context)

    def clean_email(self, email: str) -> str:
        return email_addresses.asked(email)

    def is_safe_url(self, url: str | None) -> bool:
        """Only this host's own: the pages have no other."""
        from django.utils.http import url_has_allowed_host_and_scheme

        request = self.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """In place of allauth's counts by address alone, with which anybody locks out anybody. Raises ValidationError.

        Asked for the password of a new sign-in, and of one that is to be confirmed.
        """
        try:
            self._attempt = attempts.begin(request, attempts.PASSWORD, str(credentials.get("email", "")))
        except limits.TooMany:
            raise self.validation_error("too_many_login_attempts") from None

    def _rollback_login_failed_rl_usage(self) -> None:
        """allauth calls this where the password was right."""
        self._attempt.take_back()

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse:
        """Signed in, by all factors."""
        response: HttpResponse = super().post_login(request, user, **more)
        devices.remember(request, response, user)
        return response


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def get_public_key_credential_rp_entity(self) -> dict[str, Any]:
        return {**super().get_public_key_credential_rp_entity(), "name": _("Training Consent")}

    def encrypt(self, text: str) -> str:
        return keys.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ValidationError, which the form shows, where no key here reads it: the person is not signed in."""
        try:
            return keys.decrypt(encrypted_text)
        except (keys.UnknownKey, keys.NotEncrypted) as error:
            logger.error("a second factor can't be read: %s", error)
            text = _("Your second factor can't be checked at the moment. Please tell whoever runs this portal.")
            raise ValidationError(text, code="unreadable") from error
