"""Who: users, organizations and their members, plans and subscriptions, API keys. Nothing here writes an event."""

import datetime as dt

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .binding_models import Binding as Binding  # noqa: PLC0414  a model of this app, in a file of its own
from .catalogue import MAY_DEFAULT_IN, Product, TrainingDefault
from .fields import AddressField, EncryptedTextField, InstantField, new_id, one_of
from .querysets import ApiKeyQuerySet, InvitationQuerySet, MemberQuerySet, OrganizationQuerySet
from .user_models import AddressChange as AddressChange  # noqa: PLC0414  so that others take it from here
from .user_models import User as User  # noqa: PLC0414  so that others take it from here
from .user_models import UserManager as UserManager  # noqa: PLC0414  so that others take it from here


class Plan(models.Model):
    """What an organization subscribes to for a product; its default applies until somebody chooses (R2)."""

    key = models.CharField(_("key"), max_length=40, primary_key=True)
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    name = models.CharField(_("name"), max_length=80)
    training_default = models.CharField(_("training by default"), max_length=10, choices=TrainingDefault.choices)
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("plan")
        verbose_name_plural = _("plans")
        ordering = ["position"]
        constraints = [
            one_of("product", Product, "plan_product_known"),
            one_of("training_default", TrainingDefault, "plan_default_known"),
            models.CheckConstraint(
                condition=Q(training_default=TrainingDefault.OPTED_OUT) | Q(key__in=MAY_DEFAULT_IN),
                name="plan_opted_in_only_where_allowed",
                violation_error_message=_("This plan is opted out by default, always."),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class OrganizationStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    CLOSED = "closed", _("Closed")


class OrganizationKind(models.TextChoices):
    PERSONAL = "personal", _("Personal")
    TEAM = "team", _("Team")


class Organization(models.Model):
    """An account with the provider: personal (one person, its owner) or team."""

    Kind = OrganizationKind

    Status = OrganizationStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    external_id = models.CharField(
        _("external id"), max_length=200, null=True, blank=True, help_text=_("The provider's own account id; unique.")
    )
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.TEAM)
    country = models.CharField(_("country"), max_length=2, blank=True, help_text=_("Two letters, ISO 3166-1."))
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    # Whether a second person ever was a member: for good, for what they chose was not said to the owner (R4, R17).
    had_others = models.BooleanField(_("others were members"), default=False, db_default=False, editable=False)
    created_at = InstantField(_("created"), editable=False)
    changed_at = InstantField(_("last change"), editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["external_id"], name="organization_external_id_unique"),
            models.CheckConstraint(condition=~Q(external_id=""), name="organization_external_id_not_empty"),
            models.CheckConstraint(condition=~Q(name=""), name="organization_name_not_empty"),
            one_of("kind", OrganizationKind, "organization_kind_known"),
            one_of("status", OrganizationStatus, "organization_status_known"),
            models.CheckConstraint(
                condition=~Q(kind=OrganizationKind.PERSONAL) | Q(had_others=False),
                name="organization_personal_has_one_person",
                violation_error_message=_("Others were members: this organization stays a team."),
            ),
        ]
        indexes = [
            models.Index(Lower("name"), "id", name="organization_name_start"),
            models.Index(fields=["changed_at"], name="organization_changed"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_closed(self) -> bool:
        return self.status == self.Status.CLOSED


class MemberStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    LEFT = "left", _("Left")


class MemberRole(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    MEMBER = "member", _("Member")
    AUDITOR = "auditor", _("Auditor")


class Member(models.Model):
    """A user's membership of one organization: one row for good, reused when they join again (R14)."""

    Role = MemberRole

    Status = MemberStatus

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="members", verbose_name=_("organization")
    )
    user = models.ForeignKey(User, models.PROTECT, related_name="memberships", verbose_name=_("user"))
    external_id = models.CharField(
        _("external id"),
        max_length=200,
        null=True,
        blank=True,
        help_text=_("The provider's own id; unique in the organization."),
    )
    role = models.CharField(_("role"), max_length=10, choices=Role.choices, default=Role.MEMBER)
    status = models.CharField(_("status"), max_length=10, choices=Status.choices, default=Status.ACTIVE)
    joined_at = InstantField(_("joined"), editable=False, help_text=_("The last time they joined."))
    left_at = InstantField(_("left"), null=True, editable=False)
    changed_at = InstantField(_("last change"), editable=False)

    objects = MemberQuerySet.as_manager()

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="member_once_per_organization"),
            models.UniqueConstraint(fields=["organization", "external_id"], name="member_external_id_unique"),
            models.CheckConstraint(condition=~Q(external_id=""), name="member_external_id_not_empty"),
            models.CheckConstraint(
                condition=Q(status="active", left_at__isnull=True) | Q(status="left", left_at__isnull=False),
                name="member_left_has_instant",
            ),
            one_of("role", MemberRole, "member_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.organization}"

    @property
    def has_left(self) -> bool:
        return self.status == self.Status.LEFT


class Subscription(models.Model):
    """Organization × product → plan, from start to end. The live one has no end; there is at most one."""

    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="subscriptions", verbose_name=_("organization")
    )
    product = models.CharField(_("product"), max_length=20, choices=Product.choices)
    plan = models.ForeignKey(Plan, models.PROTECT, related_name="subscriptions", verbose_name=_("plan"))
    started_at = InstantField(_("started"), editable=False)
    ended_at = InstantField(_("ended"), null=True, editable=False)

    class Meta:
        verbose_name = _("subscription")
        verbose_name_plural = _("subscriptions")
        ordering = ["-id"]
        constraints = [
            one_of("product", Product, "subscription_product_known"),
            models.UniqueConstraint(
                fields=["organization", "product"],
                condition=Q(ended_at__isnull=True),
                name="subscription_one_live_per_product",
            ),
        ]
        indexes = [
            models.Index(fields=["started_at"], name="subscription_started"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="subscription_ended"),
        ]

    def __str__(self) -> str:
        return f"{self.organization} · {self.plan}"


class KeyScope(models.TextChoices):
    DECISIONS_READ = "decisions:read", _("ask for decisions")
    CONSENT_READ = "consent:read", _("read privacy settings")
    CONSENT_WRITE = "consent:write", _("change privacy settings")
    CONSENT_MEMBER = "consent:member", _("speak for members (mobile app backend; operator keys only)")
    ORGANIZATIONS_READ = "organizations:read", _("read organizations and members")
    ORGANIZATIONS_WRITE = "organizations:write", _("change organizations and members")
    EVENTS_READ = "events:read", _("read the ledger")
    WEBHOOKS_WRITE = "webhooks:write", _("manage webhooks")


# What only the installation's own services need: such a key outlives whoever made it (R18).
INSTALLATION_SCOPES = frozenset({KeyScope.CONSENT_MEMBER})


class ApiKey(models.Model):
    """A service's credential: a public prefix and a keyed hash; the key itself is shown once and never stored."""

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
    # Whoever answered for it may not any more. It stays so until somebody who may takes it over.
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
        """What it may do, in words."""
        return [str(KeyScope(scope).label) for scope in self.scopes]

    def status(self, now: dt.datetime) -> str:
        """“active”, “suspended”, “expired” or “revoked”: what has ended stays so, whatever else it was."""
        if self.revoked_at is not None:
            return "revoked"
        if self.has_ended(now):
            return "expired"
        return "suspended" if self.suspended_at is not None else "active"

    def has_ended(self, now: dt.datetime) -> bool:
        """Revoked or expired: for good."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)

    def is_live(self, now: dt.datetime) -> bool:
        return self.suspended_at is None and not self.has_ended(now)


class RateCount(models.Model):
    """How often somebody did something in a window of time; see `limits`."""

    id = models.BigAutoField(primary_key=True)
    subject = models.CharField(max_length=330)
    window = models.BigIntegerField()  # its first second since 1970
    count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["subject", "window"], name="rate_count_of_window")]
        indexes = [models.Index(fields=["window"], name="rate_count_age")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.count}"


class Invitation(models.Model):
    """A link by which a person joins an organization; the link's secret is sent once, and kept as a hash."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        Organization, models.PROTECT, related_name="invitations", verbose_name=_("organization")
    )
    email = AddressField(_("e-mail"))
    role = models.CharField(_("role"), max_length=10, choices=MemberRole.choices, default=MemberRole.MEMBER)
    hash = models.CharField(max_length=64, unique=True, editable=False)
    # Whose right to invite is judged once more when it is accepted: the person's, else that of the key without one.
    invited_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+", verbose_name=_("invited by"))
    invited_by_key = models.ForeignKey(ApiKey, models.PROTECT, null=True, related_name="+", editable=False)
    created_at = models.DateTimeField(_("sent"), default=timezone.now, editable=False)
    expires_at = models.DateTimeField(_("expires"))

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "email"], name="invitation_one_per_person"),
            one_of("role", MemberRole, "invitation_role_known"),
            models.CheckConstraint(
                condition=Q(invited_by__isnull=False) | Q(invited_by_key__isnull=False),
                name="invitation_has_somebody_responsible",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} · {self.organization}"


class OutgoingMessage(models.Model):
    """An e-mail that waits for the worker; deleted once it is sent, kept when it is given up. See `outbox`."""

    recipient = AddressField()
    subject = models.CharField(max_length=500)
    # Links in it open accounts.
    body = EncryptedTextField()
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    given_up_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=80, blank=True, default="", db_default="")  # the kind of the last trouble

    class Meta:
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], name="message_due"),
            models.Index(fields=["-id"], condition=Q(given_up_at__isnull=False), name="message_given_up"),
            models.Index(fields=["recipient"], name="message_recipient"),
        ]

    def __str__(self) -> str:
        return f"message {self.pk}"


class DeviceRevocation(models.Model):
    """Since when no browser is known as this person's: see `devices`."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id}: {self.at}"
