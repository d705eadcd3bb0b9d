"""allauth's adapters: no sign-up, the portal's own limits on sign-in attempts, encrypted second factors."""

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from . import attempts, clock, devices, email_addresses, keys, limits, preferences
from .models import User

logger = logging.getLogger(__name__)


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth has no types
    def is_open_for_signup(self, _request: HttpRequest) -> bool:
        """Always False: accounts are made by operators and by invitations."""
        return False

    def send_password_reset_mail(self, user: User, email: str, context: dict[str, Any]) -> None:
        """Send nothing to an address that an operator set lately, so that its owner has time to object (R19)."""
        if user.no_links_until is None or user.no_links_until <= clock.now():
            with preferences.of(user.language, user.time_zone):
                super().send_password_reset_mail(user, email, context)

    def send_notification_mail(self, template_prefix: str, user: User, *args: Any, **more: Any) -> None:
        """Tell of a new password or second factor, in the language and the time zone of the person."""
        with preferences.of(user.language, user.time_zone):
            super().send_notification_mail(template_prefix, user, *args, **more)

    def clean_email(self, email: str) -> str:
        return email_addresses.asked(email)

    def is_safe_url(self, url: str | None) -> bool:
        """Whether a redirect target is on this host: pages never lead to another."""
        from django.utils.http import url_has_allowed_host_and_scheme

        request = self.request
        return url_has_allowed_host_and_scheme(url, {request.get_host()}, require_https=request.is_secure())

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count this attempt before the password is checked, at sign-in and at reauthentication.

        It replaces allauth's limit, which counts by address alone, so that anybody could lock out anybody else. Raises
        ValidationError where there were too many attempts.
        """
        try:
            self._attempt = attempts.begin(request, attempts.PASSWORD, str(credentials.get("email", "")))
        except limits.TooMany:
            raise self.validation_error("too_many_login_attempts") from None

    def _rollback_login_failed_rl_usage(self) -> None:
        """Take the attempt back: allauth calls this where the password was right."""
        self._attempt.take_back()

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse:
        """Make this browser a known device, now that the user has passed all factors."""
        response: HttpResponse = super().post_login(request, user, **more)
        devices.remember(request, response, user)
        return response


class MfaAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    def get_public_key_credential_rp_entity(self) -> dict[str, Any]:
        return {**super().get_public_key_credential_rp_entity(), "name": _("Training Consent")}

    def encrypt(self, text: str) -> str:
        return keys.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ValidationError, which the form shows, where no configured key decrypts it: sign-in fails closed."""
        try:
            return keys.decrypt(encrypted_text)
        except (keys.UnknownKey, keys.NotEncrypted) as error:
            logger.error("a second factor can't be read: %s", error)
            text = _("Your second factor can't be checked at the moment. Please tell whoever runs this portal.")
            raise ValidationError(text, code="unreadable") from error
