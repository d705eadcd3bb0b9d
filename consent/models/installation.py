"""Which installation this database belongs to, and what its witness says of it."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.fields import InstantField, new_id


class Trouble(models.TextChoices):
    """Why a database is in quarantine: it is not, or not surely, the one that was witnessed."""

    HEAD_LOWER = "head_lower", _("The ledger ends earlier than was witnessed.")
    FEWER_EVENTS = "fewer_events", _("The ledger has fewer events than were witnessed.")
    OTHER_HASH = "other_hash", _("The ledger has other events than those that were witnessed.")
    OTHER_INSTALLATION = "other_installation", _("The witness file is of another installation.")
    OTHER_EPOCH = "other_epoch", _("The witness file is of another epoch: before or after a restore was adopted.")
    LOG_BEHIND = "log_behind", _("The log of the ledger ends earlier than was witnessed.")
    LOG_FORKED = "log_forked", _("The log of the ledger has another root than was witnessed.")
    WITNESS_LOST = "witness_lost", _("There is no witness file any more.")
    WITNESS_DAMAGED = "witness_damaged", _("The witness file can't be read.")


# What is cured as soon as the file can be read again. Anything else lasts until a restore is adopted.
PASSING = frozenset({Trouble.WITNESS_LOST, Trouble.WITNESS_DAMAGED})


class InstallationManager(models.Manager["Installation"]):
    def current(self) -> "Installation":
        """The one row. Raises Installation.DoesNotExist: a database without it was not made by the migrations."""
        return self.get()

    def forget_witness(self) -> None:
        """Forget whether a witness was kept, where the database was moved: its files may be elsewhere.

        Those that are here judge this copy, else it begins its own. Installation and epoch stay what they are, so that
        readers go on; a quarantine stays too.
        """
        self.filter(quarantine="").update(witness_kept=False, witnessed_position=0, witnessed_at=None, vouches=0)


class Installation(models.Model):
    """The one row, made by the migration. Only `consent.witness`, and adopting a restore, change it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    single = models.BooleanField(default=True, unique=True, editable=False)
    # Grows whenever a restored database is adopted, so that no position means two events within one epoch.
    epoch = models.PositiveIntegerField(_("epoch"), default=1)
    # Whether a witness was ever kept: only then is a missing file a lost one.
    witness_kept = models.BooleanField(_("witness kept"), default=False)
    # How far the ledger is surely in the witness file.
    witnessed_position = models.BigIntegerField(_("witnessed position"), default=0)
    witnessed_at = InstantField(_("witnessed"), null=True)
    # Grows whenever somebody who sees the witness file has found that this database is the one that was witnessed.
    # Processes that don't see the file wait until it has grown since they connected.
    vouches = models.BigIntegerField(default=0)
    quarantine = models.CharField(_("quarantine"), max_length=20, blank=True, default="", choices=Trouble.choices)
    quarantined_at = InstantField(_("since"), null=True)

    objects = InstallationManager()

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installations")
        constraints = [
            models.CheckConstraint(condition=Q(single=True), name="installation_single"),
            models.CheckConstraint(
                condition=Q(quarantine="", quarantined_at=None) | ~Q(quarantine="") & Q(quarantined_at__isnull=False),
                name="installation_quarantine_dated",
            ),
            models.CheckConstraint(
                condition=Q(quarantine__in=["", *Trouble.values]), name="installation_quarantine_known"
            ),
        ]

    def __str__(self) -> str:
        return f"installation {self.pk}, epoch {self.epoch}"

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("a database always belongs to an installation")
