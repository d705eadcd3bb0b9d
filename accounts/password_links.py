"""The address of the page on which a person sets a password of their own: nobody else ever sets it."""

from allauth.account import app_settings
from allauth.account.utils import user_pk_to_url_str
from django.urls import reverse

from .models import User


def password_path(user: User) -> str:
    """Good until the password, the address or the last sign-in changes, and for PASSWORD_RESET_TIMEOUT at most."""
    key = app_settings.PASSWORD_RESET_TOKEN_GENERATOR().make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})
