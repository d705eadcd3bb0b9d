from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class ConsentConfig(AppConfig):
    name = "consent"
    verbose_name = _("Consent")

    def ready(self) -> None:
        from . import checks, going_back, triggers, wordings  # noqa: F401  (`checks` registers the system checks)
        from .imports import applying
        from .jobs import engine
        from .log import checkpoints
        from .log import checks as log_checks  # noqa: F401
        from .models import JobKind
        from .witness import guard, judging

        # After every migrate, not in a migration: SQLite's AlterField rebuilds a table and drops its triggers silently.
        post_migrate.connect(triggers.install_after_migrate, sender=self, dispatch_uid="consent.triggers")
        post_migrate.connect(wordings.sync_after_migrate, sender=self, dispatch_uid="consent.wordings")
        pre_migrate.connect(going_back.refuse_before_the_first_step, sender=self, dispatch_uid="consent.going_back")
        connection_created.connect(guard.forget, dispatch_uid="consent.witness")
        judging.register_log(judging.LogReader(checkpoints.head, checkpoints.root_at))
        engine.register(JobKind.IMPORT, applying.apply)
