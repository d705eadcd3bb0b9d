from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from . import checks, sessions  # noqa: F401  (importing `checks` registers the system checks)

        user_logged_in.connect(sessions.begin, dispatch_uid="accounts.sessions")
