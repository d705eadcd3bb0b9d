"""API keys and their scopes."""

import datetime as dt

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..fields import new_id
from .organizations import Organization
from .querysets import ApiKeyQuerySet
from .users import User


class KeyScope(models.TextChoices):
    DECISIONS_READ = "decisions:read", _("ask for decisions")
    CONSENT_READ = "consent:read", _("read privacy settings")
    CONSENT_WRITE = "consent:write", _("change privacy settings")
    CONSENT_MEMBER = "consent:member", _("speak for members (mobile app backend; operator keys only)")
    ORGANIZATIONS_READ = "organizations:read", _("read organizations and members")
    ORGANIZATIONS_WRITE = "organizations:write", _("change organizations and members")
    EVENTS_READ = "events:read", _("read the ledger")
    WEBHOOKS_WRITE = "webhooks:write", _("manage webhooks")
    PIPELINE_READ = "pipeline:read", _("read snapshots, training runs and their removals (operator keys only)")
    CONSUMER_WRITE = "consumer:write", _("say how far a consumer has applied the ledger (its own key only)")
    RUNS_WRITE = "runs:write", _("register training runs and acknowledge removals (operator keys only)")


# Scopes that only the installation's own services need: a key with one keeps working when its maker leaves (R18).
INSTALLATION_SCOPES = frozenset({KeyScope.CONSENT_MEMBER})
# Scopes that no organization's key may have.
OPERATOR_SCOPES = INSTALLATION_SCOPES | {KeyScope.PIPELINE_READ, KeyScope.CONSUMER_WRITE, KeyScope.RUNS_WRITE}


class ApiKey(models.Model):
    """The credential of a service: a public prefix and a keyed hash. The key's text is shown once and never stored."""

    Scope = KeyScope

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=80)
    prefix = models.CharField(_("prefix"), max_length=16, unique=True, editable=False)
    hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    organization = models.ForeignKey(
        Organization,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="api_keys",
        verbose_name=_("organization"),
        help_text=_("Empty: an operator key, good for all organizations."),
    )
    issued_by = models.ForeignKey(
        User,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("issued by"),
        help_text=_("Who answers for what is done with it: it may do no more than they may now."),
    )
    installation = models.BooleanField(
        _("the installation's own"),
        default=False,
        editable=False,
        help_text=_("Made by a command, or for the mobile app's backend: it keeps working when a person leaves."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    # Set when the responsible person lost the right to manage keys; until somebody with that right takes the key over.
    suspended_at = models.DateTimeField(_("suspended"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="api_key_name_not_empty"),
            models.CheckConstraint(
                condition=Q(installation=True) | Q(issued_by__isnull=False), name="api_key_has_somebody_responsible"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def scope_labels(self) -> list[str]:
        """The translated names of the key's scopes."""
        return [str(KeyScope(scope).label) for scope in self.scopes]

    def status(self, now: dt.datetime) -> str:
        """“active”, “suspended”, “expired” or “revoked”; if several apply, the later one in this list."""
        if self.revoked_at is not None:
            return "revoked"
        if self.has_ended(now):
            return "expired"
        return "suspended" if self.suspended_at is not None else "active"

    def has_ended(self, now: dt.datetime) -> bool:
        """Whether the key was revoked or has expired, which cannot be undone."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def is_live(self, now: dt.datetime) -> bool:
        return self.suspended_at is None and not self.has_ended(now)
