"""Users. Every write that changes operator status or credentials sets the instant of that change too."""

import datetime as dt
import functools
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Collate, Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import clock, email_addresses
from ..fields import AddressField, InstantField, byte_order, new_id, one_line

# The fields of a user's credentials, and of their status as an operator: see `User.save`.
_CREDENTIALS, _STANDING = ("password", "email"), ("is_staff", "is_active")


class UserQuerySet(models.QuerySet["User"]):
    def update(self, **changes: Any) -> int:
        """Set the instants as `User.save` does, for all rows, even those whose value stays: the safe side."""
        if not set(changes).isdisjoint(_CREDENTIALS):
            changes.setdefault("credentials_at", clock.now())
        if changes.get("is_staff") is False:
            changes["operator_since"] = None
        elif changes.get("is_staff") or changes.get("is_active"):
            begins = Value(clock.now(), output_field=InstantField(null=True))
            staff = Q() if changes.get("is_staff") else Q(is_staff=True)
            changes["operator_since"] = models.Case(models.When(staff, then=begins)) if staff else begins
        return super().update(**changes)

    def addressed(self, start: str) -> Self:
        """People whose e-mail address is this one, or begins so, in its order: a range of an index."""
        text = email_addresses.asked(start)
        rows = self.alias(_address=Collate("email", byte_order(self.db)))
        # A range, not LIKE, which uses the index on neither database.
        return rows.filter(_address__gte=text, _address__lt=f"{text}\U0010ffff").order_by("_address")

    def bulk_create(self, objs: Iterable["User"], *args: Any, **options: Any) -> list["User"]:
        # bulk_create does not call `save`, so the instants are set here: one, read once, for people by the thousand.
        people, now = list(objs), functools.cache(clock.now)
        for person in people:
            person.stamp((*_CREDENTIALS, *_STANDING), now)
        return super().bulk_create(people, *args, **options)


class UserManager(BaseUserManager["User"]):
    def addressed(self, start: str) -> UserQuerySet:
        return self.get_queryset().addressed(start)

    def get_queryset(self) -> UserQuerySet:
        return UserQuerySet(self.model, using=self._db)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email_addresses.asked(email), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=username or "")


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in by e-mail. Staff users are the provider's operators."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    email = AddressField(_("e-mail"), help_text=_("What this person signs in with."))
    name = models.CharField(_("name"), max_length=200, blank=True)
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Clear this instead of deleting: it ends sign-in at once and keeps history."),
    )
    is_staff = models.BooleanField(_("operator"), default=False, help_text=_("Runs the portal for all organizations."))
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    # Since when this person has been an active operator without a break (R13, R19).
    operator_since = InstantField(_("operator since"), null=True, editable=False)
    # The last change of password or address, or removal of a second factor. NULL, unknown, allows no approval.
    credentials_at = InstantField(_("sign-in changed"), null=True, editable=False)
    # After an operator set the address, no links are mailed to it until this instant.
    no_links_until = InstantField(null=True, editable=False)
    # What this person chose for pages and mails (`accounts.preferences`); '' for nothing.
    language = models.CharField(_("language"), max_length=10, blank=True, default="", db_default="", editable=False)
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="", db_default="", editable=False)

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        constraints = [
            models.UniqueConstraint(fields=["email"], name="user_email_unique"),
            models.CheckConstraint(condition=Q(email=Lower("email")), name="user_email_lower_case"),
            models.CheckConstraint(
                condition=Q(is_staff=False) | Q(operator_since__isnull=False), name="user_operator_has_instant"
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def clean(self) -> None:
        self.email = email_addresses.asked(self.email)
        try:
            one_line(self.name)
        except ValidationError as error:
            raise ValidationError({"name": error.messages}) from None

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any, **more: Any) -> "User":
        user: User = super().from_db(db, field_names, values, **more)
        user._remember()
        return user

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self._remember()

    def _remember(self) -> None:
        """Keep the stored values, for `save` to compare with; deferred fields are not loaded for that."""
        self._stored = {name: self.__dict__[name] for name in (*_CREDENTIALS, *_STANDING) if name in self.__dict__}

    def save(self, *args: Any, update_fields: Any = None, **kwargs: Any) -> None:
        """Set `credentials_at` and `operator_since` where what they date has changed, whoever writes."""
        written = (*_CREDENTIALS, *_STANDING) if update_fields is None else tuple(update_fields)
        stamped = self.stamp(written)
        if update_fields is not None:
            update_fields = {*update_fields, *stamped}
        super().save(*args, update_fields=update_fields, **kwargs)
        self._remember()

    def stamp(self, written: tuple[str, ...], now: Callable[[], dt.datetime] = clock.now) -> list[str]:
        """Set the instants for those fields of `written` that have changed; returns the names of the instants set."""
        stored: dict[str, Any] = getattr(self, "_stored", {})
        changed = {name for name in written if name in self.__dict__ and stored.get(name) != self.__dict__[name]}
        stamped = []
        if changed.intersection(_CREDENTIALS):
            self.credentials_at = now()
            stamped.append("credentials_at")
        if changed.intersection(_STANDING):
            if not self.is_staff:
                self.operator_since = None
            elif self.is_active or self.operator_since is None:  # became an operator, or became one again
                self.operator_since = now()
            stamped.append("operator_since")
        return stamped

    def check_password(self, raw_password: str | None) -> bool:
        """As Django's, but stores a stronger hash without `save`, which would take it for a new password."""

        def stronger(password: str | None) -> None:
            hashed = make_password(password)
            models.QuerySet(type(self)).filter(pk=self.pk).update(password=hashed)
            self.password = self._stored["password"] = hashed

        return check_password(raw_password, self.password, stronger)


class AddressChange(models.Model):
    """A user's request for another address: it takes effect when links mailed to the old and the new one were used."""

    user = models.OneToOneField(User, models.CASCADE, related_name="address_change")
    email = AddressField(_("new e-mail"))
    # Hashes of the links' secrets, which are mailed once and not stored.
    old_hash = models.CharField(max_length=64, unique=True)
    new_hash = models.CharField(max_length=64, unique=True)
    old_confirmed_at = InstantField(null=True)
    new_confirmed_at = InstantField(null=True)
    expires_at = InstantField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(email=Lower("email")), name="new_address_lower_case")]

    def __str__(self) -> str:
        return f"address change {self.pk}"


class DeviceRevocation(models.Model):
    """Known devices of this user from before `at` are no longer trusted; see `accounts.devices`."""

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.user_id}: {self.at}"
