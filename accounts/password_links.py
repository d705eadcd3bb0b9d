"""The URL of the page on which a person sets their own password. Nobody else ever sets it."""

from allauth.account import app_settings
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse

from .models import User


def password_path(user: User) -> str:
    """The path; valid until the password, address or last sign-in changes, and PASSWORD_RESET_TIMEOUT at most."""
    key = app_settings.PASSWORD_RESET_TOKEN_GENERATOR().make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})
